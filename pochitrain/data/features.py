"""Features of images in memory-mapped files, shared by processes, runs and the trials of a search.

A file holds a header and one row for each image. It has its full size from the start; the header
says how many rows count, and is written once these are on the disk. So a process may be killed at
any moment: the next one goes on after the last block that counts, with the same bits.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pochitrain.data.cache import exclusive, key_of, make_room
from pochitrain.data.cache_plan import locate
from pochitrain.data.dataset import ImageDataset
from pochitrain.data.index import file_stamp
from pochitrain.error import DataError
from pochitrain.paths import cache_directory

if sys.platform != "win32":
    import fcntl

FORMAT = b"pochi features 1"
HEADER = np.dtype([("format", "S16"), ("rows", "<i8"), ("columns", "<i8"), ("done", "<i8")])
START = 64
"""Byte at which the rows begin."""
SYNC_S = 1.0
"""Rows are made to survive a power cut, and counted, at most so often."""
WAIT_S = 0.2
"""How often to look whether the process that computes the same features is done."""

Rows = NDArray[np.float32]
"""float32, shape (images, features)."""


@dataclass(frozen=True)
class Wanted:
    """The features of a set of images."""

    key: str
    """Of everything that they depend on."""
    num_rows: int
    num_columns: int
    block: int
    """Rows that are computed at once; work begins again at a multiple of it."""

    @property
    def num_bytes(self) -> int:
        return START + self.num_rows * self.num_columns * 4

    @property
    def path(self) -> Path:
        return cache_directory() / f"features-{self.key}.rows"


@dataclass
class Features:
    """The features, and how many of the rows were there before."""

    rows: Rows
    num_reused: int
    is_kept: bool
    """Whether they are in a file."""


Make = Callable[[int], Iterator[Rows]]
"""First row (a multiple of the block) -> the blocks from there on."""


def obtain_features(
    wanted: Wanted, make: Make, limit: int | None, while_waiting: Callable[[], None]
) -> Features:
    """Map the features, after computing those that are missing.

    Args:
        limit: bytes of all files of the cache; None = keep nothing, use memory.
        while_waiting: called now and then while another process computes the same; may raise.

    Raises:
        DataError: if `make` gives other shapes than wanted.
    """
    handle = None if limit is None else open_file(wanted, limit, while_waiting)
    if handle is None:
        rows = np.empty((wanted.num_rows, wanted.num_columns), np.float32)
        for start, block in number_blocks(wanted, make, 0):
            rows[start : start + len(block)] = block
        return Features(rows, 0, False)
    try:
        done = read_done(handle, wanted)
        if done < wanted.num_rows:
            fill(handle, wanted, make, done)
        rows = np.memmap(wanted.path, np.float32, "c", START, (wanted.num_rows, wanted.num_columns))
        return Features(rows, done, True)
    except OSError:  # no room on the disk, or the file was removed meanwhile
        os.close(handle)
        handle = None
        return obtain_features(wanted, make, None, while_waiting)
    finally:
        if handle is not None:
            os.close(handle)


def number_blocks(wanted: Wanted, make: Make, first: int) -> Iterator[tuple[int, Rows]]:
    """(first row, rows) of each block from row `first` on."""
    start = first
    for block in make(first):
        expected = (min(wanted.block, wanted.num_rows - start), wanted.num_columns)
        if block.shape != expected:
            raise DataError(f"The backbone gave features of shape {block.shape}, not {expected}.")
        yield start, np.ascontiguousarray(block, np.float32)
        start += len(block)
    if start != wanted.num_rows:
        raise DataError(f"The backbone gave {start} rows of features, not {wanted.num_rows}.")


def open_file(wanted: Wanted, limit: int, while_waiting: Callable[[], None]) -> int | None:
    """A descriptor of the file with a lock: exclusive where rows are missing, else shared.

    None where there can be no file.
    """
    if sys.platform == "win32":
        return None
    path = wanted.path
    while True:
        handle = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with exclusive(path.parent):
                if not path.exists() and not make_room(path.parent, wanted.num_bytes, limit):
                    return None
                handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
                if os.fstat(handle).st_size == 0:  # so that others see the room that it takes
                    os.ftruncate(handle, wanted.num_bytes)
        except OSError:  # a home directory that cannot be written to, or is full
            if handle is not None:
                os.close(handle)
            return None
        try:
            lock(handle, wanted, while_waiting)
            if is_at(path, handle):  # not removed while this process waited
                os.utime(path)
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def lock(handle: int, wanted: Wanted, while_waiting: Callable[[], None]) -> None:
    """Wait for the lock that is needed."""
    while True:
        complete = read_done(handle, wanted) == wanted.num_rows
        with suppress(BlockingIOError):
            fcntl.flock(handle, (fcntl.LOCK_SH if complete else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            return
        while_waiting()
        time.sleep(WAIT_S)


def is_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except OSError:
        return False


def read_done(handle: int, wanted: Wanted) -> int:
    """Rows that count, a multiple of the block or all; 0 for a file that is not as wanted."""
    found = os.pread(handle, HEADER.itemsize, 0)
    if len(found) < HEADER.itemsize or os.fstat(handle).st_size != wanted.num_bytes:
        return 0
    (header,) = np.frombuffer(found, HEADER).tolist()
    if header[:3] != (FORMAT, wanted.num_rows, wanted.num_columns):
        return 0
    done = int(header[3])
    return done if done == wanted.num_rows else done // wanted.block * wanted.block


def write_done(handle: int, wanted: Wanted, done: int) -> None:
    header = np.array([(FORMAT, wanted.num_rows, wanted.num_columns, done)], HEADER)
    os.pwrite(handle, header.tobytes(), 0)


def fill(handle: int, wanted: Wanted, make: Make, first: int) -> None:
    """Compute the rows from `first` on; they count once they are on the disk."""
    if first == 0:
        os.ftruncate(handle, 0)
        os.ftruncate(handle, wanted.num_bytes)
    next_sync = time.monotonic() + SYNC_S
    for start, block in number_blocks(wanted, make, first):
        data = memoryview(block.tobytes())
        offset = START + start * wanted.num_columns * 4
        while data:
            written = os.pwrite(handle, data, offset)
            data, offset = data[written:], offset + written
        done = start + len(block)
        if time.monotonic() >= next_sync or done == wanted.num_rows:
            os.fsync(handle)
            write_done(handle, wanted, done)
            next_sync = time.monotonic() + SYNC_S
    os.fsync(handle)


def files_key(dataset: ImageDataset) -> list[bytes]:
    """What tells the images of a split from others: paths, sizes and times of files, or pixels."""
    base, positions = locate(dataset)
    if base is not None:
        chosen = np.arange(len(base)) if positions is None else positions
        stamps = np.array([file_stamp(base.paths[i]) for i in chosen.tolist()], np.int64)
        where = os.path.abspath(base.paths.prefix).encode("utf-8", "replace")
        return [
            b"files",
            where,
            base.paths.text,
            repr(base.background).encode(),
            chosen.astype(np.int64).tobytes(),
            stamps.tobytes(),
        ]
    parts: list[bytes] = []
    for index in range(len(dataset)):
        image: Any = dataset.load(index)
        parts.append(repr((image.mode, image.size)).encode() + image.tobytes())
    return [b"pixels", key_of(parts).encode()]
