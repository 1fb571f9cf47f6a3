"""Finds unreadable images before training starts; what was seen good once is not checked again."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from pochitrain.data.decode import UnreadableImageError, decode_rgb, without_warnings
from pochitrain.data.index import DECODED, HEADER_READ, SUSPECT, FolderIndex
from pochitrain.data.member import find_member, read_member
from pochitrain.data.progress import WaitDisplay

SMALL_FILES = 10_000
SMALL_BYTES = 64_000_000
"""Up to so many files and bytes are decoded before training: about 3 s on two cores. Of more only
the first bytes are looked at, and the rest is found out when the image is read."""

SIGNATURES = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*"),
    b"RIFF",
)
"""First bytes of JPEG, PNG, BMP, GIF, TIFF and WebP files."""

OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""Opening a pipe would wait for ever without O_NONBLOCK."""

Check = Callable[[str], str | None]
"""Path -> why the file cannot be read, or None."""


def find_unreadable(index: FolderIndex, *, all_pixels: bool) -> dict[int, str]:
    """Check every image that has changed since it was last found good.

    Args:
        all_pixels: decode all images, also of a large set.

    Returns:
        Position in the index -> why that file cannot be read.
    """
    todo = np.flatnonzero(index.known != DECODED)
    small = len(todo) <= SMALL_FILES and index.num_bytes[todo].sum() <= SMALL_BYTES
    if small or all_pixels:
        return check_files(index, todo, reason_unreadable, DECODED)
    todo = np.flatnonzero(index.known < HEADER_READ)
    return check_files(index, todo, reason_no_picture, HEADER_READ)


def check_files(
    index: FolderIndex, todo: NDArray[np.int64], check: Check, when_good: int
) -> dict[int, str]:
    """Check the files at `todo` on all cores, and note in the index what is known now."""
    if not len(todo):
        return {}
    chunk = 16 if when_good == DECODED else 256
    parts = [todo[start : start + chunk].tolist() for start in range(0, len(todo), chunk)]

    def check_part(part: list[int]) -> list[str | None]:
        return [check(index.paths[position]) for position in part]

    bad: dict[int, str] = {}
    pool = ThreadPoolExecutor(os.cpu_count())  # Pillow's decoders release the GIL
    try:
        with without_warnings(), WaitDisplay("Checking pictures", len(todo)) as display:
            for part, reasons in zip(parts, pool.map(check_part, parts), strict=True):
                for position, reason in zip(part, reasons, strict=True):
                    index.known[position] = when_good if reason is None else SUSPECT
                    if reason is not None:
                        bad[position] = reason
                display.advance(len(part))
    finally:  # also after Ctrl+C: what is done need not be done again
        pool.shutdown(cancel_futures=True)
        index.save()
    return bad


def reason_unreadable(path: str) -> str | None:
    try:
        decode_rgb(path)
    except UnreadableImageError as error:
        return str(error)
    return None


def reason_no_picture(path: str) -> str | None:
    """Why a file is no image, by its first bytes; one that begins oddly is decoded."""
    try:
        if first_bytes(path).startswith(SIGNATURES):
            return None
    except OSError:
        pass
    return reason_unreadable(path)


def first_bytes(path: str) -> bytes:
    """Up to 16 bytes of a file, or of a file in a tar file."""
    if (member := find_member(path)) is not None:
        return read_member(member, 16)
    file = os.open(path, OPEN_FLAGS)
    try:
        return os.read(file, 16)
    finally:
        os.close(file)
