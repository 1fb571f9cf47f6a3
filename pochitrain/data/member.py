"""Files inside uncompressed tar files, read by position as if each were a file of its own.

Such a file has a path that says where it lies: `shard.tar/@OFFSET+SIZE/name.jpg`. So lists of
paths, the cache of decoded images and loader processes need to know nothing about tar.
"""

import os
from typing import NamedTuple

MARK = ".tar/@"
MAX_OPEN = 256
"""Tar files that a process keeps open; each further one is opened for every read."""

READ_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0)

_handles: dict[str, int] = {}
"""Tar file -> descriptor, never closed: another thread may be reading from it. Reading at an offset
moves nothing, so processes that were forked may share it."""


class Member(NamedTuple):
    """Where a file lies."""

    tar: str
    offset: int
    num_bytes: int


def member_path(tar: str, offset: int, num_bytes: int, name: str) -> str:
    """The path of a file in a tar file; `tar` ends in .tar."""
    return f"{tar}/@{offset}+{num_bytes}/{name}"


def find_member(path: str) -> Member | None:
    """What `member_path` was given; None for the path of an ordinary file."""
    tar, mark, rest = path.partition(MARK)
    if not mark:
        return None
    offset, _, num_bytes = rest.partition("/")[0].partition("+")
    if not (offset.isdecimal() and num_bytes.isdecimal()):
        return None
    return Member(f"{tar}.tar", int(offset), int(num_bytes))


def read_member(member: Member, most: int | None = None) -> bytes:
    """Its bytes, or the first `most` of them.

    Raises:
        OSError: if the tar file is gone, or shorter than it was.
    """
    wanted = member.num_bytes if most is None else min(most, member.num_bytes)
    handle = _handles.get(member.tar)
    keep = handle is not None or len(_handles) < MAX_OPEN
    if handle is None:
        handle = os.open(member.tar, READ_FLAGS)
        if keep and _handles.setdefault(member.tar, handle) != handle:  # another thread was first
            os.close(handle)
            handle = _handles[member.tar]
    try:
        data = read_at(handle, wanted, member.offset)
    finally:
        if not keep:
            os.close(handle)
    if len(data) < wanted:
        raise OSError("the tar file has become shorter")
    return data


def read_at(handle: int, num_bytes: int, offset: int) -> bytes:
    """Up to `num_bytes` from `offset` on."""
    if not hasattr(os, "pread"):  # Windows
        with open(os.dup(handle), "rb", buffering=0) as file:
            file.seek(offset)
            return file.read(num_bytes) or b""
    parts = []
    while num_bytes:
        part = os.pread(handle, num_bytes, offset)
        if not part:
            break
        parts.append(part)
        num_bytes, offset = num_bytes - len(part), offset + len(part)
    return b"".join(parts)


def member_stamp(member: Member) -> tuple[int, int]:
    """Its size, and when the tar file was changed (as `file_stamp`); (-1, 0) if it is gone."""
    try:
        status = os.stat(member.tar)
    except OSError:
        return -1, 0
    if status.st_size < member.offset + member.num_bytes:
        return -1, 0
    return member.num_bytes, status.st_mtime_ns
