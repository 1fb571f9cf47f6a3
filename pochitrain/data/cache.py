"""Decoded images in a memory-mapped file, shared by processes, runs and the trials of a search.

Two files for each set of images and beginning of a pipeline: a table with one slot per image, and
the pixels, to which every process appends. A slot counts only once its checksum is there, which is
written last, so a process may be killed at any moment: what it left is decoded again.
"""

import hashlib
import mmap
import os
import shutil
import sys
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pochitrain.data.index import file_stamp
from pochitrain.paths import cache_directory

if sys.platform != "win32":
    import fcntl

FORMAT = b"pochi decoded 1\n"
HEADER = np.dtype([("format", "S16"), ("planned", "<i8"), ("slots", "<i8")])
"""What a table begins with; `planned`: bytes that all images together were expected to take."""

SLOT = np.dtype(
    [
        ("offset", "<i8"),
        ("num_bytes", "<i8"),  # size and time of the file that was decoded
        ("mtime_ns", "<i8"),
        ("width", "<u4"),
        ("height", "<u4"),
        ("checksum", "<u8"),  # 0: nothing here
    ]
)


class DecodeCache:
    """The decoded images of one set."""

    def __init__(self, table_path: Path, num_slots: int, limit: int, lock: int | None) -> None:
        """Use a table.

        Args:
            limit: bytes of pixels at most.
            lock: descriptor that keeps other processes from removing the files.
        """
        self.table_path = table_path
        self.pixel_path = table_path.with_suffix(".pixels")
        self.num_slots = num_slots
        self.limit = limit
        self.full = False
        """Whether writing has failed: no room on the disk, or the limit is reached."""
        self.process: int | None = None
        if lock is not None:
            weakref.finalize(self, os.close, lock)

    def __reduce__(self) -> tuple[Any, ...]:
        # To a process that was not forked; the lock of this one holds for both.
        return DecodeCache, (self.table_path, self.num_slots, self.limit, None)

    def attach(self) -> None:
        """Map the table; each process appends through a descriptor of its own."""
        if self.process == os.getpid():
            return
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
        self.writer = os.open(self.pixel_path, flags, 0o600)
        weakref.finalize(self, os.close, self.writer)
        self.table = np.memmap(
            self.table_path, SLOT, "r+", offset=HEADER.itemsize, shape=(self.num_slots,)
        )
        self.pixels: mmap.mmap | None = None
        self.checked = np.zeros(self.num_slots, np.uint64)
        """Checksums that were found right."""
        self.process = os.getpid()

    def read(self, slot: int, path: str) -> Image.Image | None:
        """The image in a slot; None if it is not there, or the file at `path` has changed."""
        self.attach()
        offset, num_bytes, mtime_ns, width, height, checksum = self.table[slot].tolist()
        if not checksum or (num_bytes, mtime_ns) != file_stamp(path):
            return None
        size = width * height * 3
        end = offset + size
        if self.pixels is None or end > len(self.pixels):
            length = os.fstat(self.writer).st_size
            if end > length:
                return None
            self.pixels = mmap.mmap(self.writer, length, prot=mmap.PROT_READ)
        data = memoryview(self.pixels)[offset:end]
        if self.checked[slot] != checksum:  # once in a process: it takes as long as a small image
            if checksum_of(data) != checksum:
                return None
            self.checked[slot] = checksum
        size_px = (width, height)
        return Image.frombuffer("RGB", size_px, data, "raw", "RGB", 0, 1)  # type: ignore[arg-type]

    def write(self, slot: int, stamp: tuple[int, int], image: Image.Image) -> None:
        """Keep an image, where there is room.

        Args:
            stamp: size and time of the file, from before it was decoded.
        """
        if self.full or image.mode != "RGB":
            return
        self.attach()
        data = image.tobytes()
        try:
            if os.fstat(self.writer).st_size + len(data) > self.limit:
                self.full = True
                return
            if os.write(self.writer, data) != len(data):
                self.full = True
                return
            end = os.lseek(self.writer, 0, os.SEEK_CUR)
        except OSError:  # no room on the disk; the images are decoded as without a cache
            self.full = True
            return
        row = self.table[slot : slot + 1]
        row["checksum"] = 0
        row["offset"] = end - len(data)
        row["num_bytes"], row["mtime_ns"] = stamp
        row["width"], row["height"] = image.size
        row["checksum"] = checksum_of(data)  # last: now it counts

    def count(self, slots: NDArray[np.int64] | None = None) -> int:
        """How many of `slots` (None = all) are filled."""
        self.attach()
        filled = self.table["checksum"] if slots is None else self.table["checksum"][slots]
        return int(np.count_nonzero(filled))


def checksum_of(data: bytes | memoryview) -> int:
    """Tells pixels from what is left there after a power cut; never 0."""
    whole = len(data) // 8 * 8
    words = np.frombuffer(data[:whole], np.uint64)
    total = int(np.add.reduce(words, dtype=np.uint64)) + sum(data[whole:])
    return total & (2**63 - 1) | 2**63


def key_of(parts: Sequence[bytes]) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def open_cache(key: str, num_slots: int, planned: int, limit: int) -> DecodeCache | None:
    """The cache `key`, made where it is not there; None where there can be none.

    Args:
        planned: bytes that all images are expected to take.
        limit: bytes of all caches together; those that were not used for longest are removed.
    """
    if sys.platform == "win32":
        return None
    folder = cache_directory()
    path = folder / f"decoded-{key}.table"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive(folder):
            if not path.exists() and not make_room(folder, planned, limit):
                return None
            return DecodeCache(path, num_slots, limit, lock_table(path, num_slots, planned))
    except OSError:  # a home directory that cannot be written to, or is full
        return None


def find_cache(key: str, num_slots: int) -> DecodeCache | None:
    """The cache `key` to read only; None where it is not there."""
    folder = cache_directory()
    path = folder / f"decoded-{key}.table"
    try:
        if sys.platform == "win32" or path.stat().st_size != table_size(num_slots):
            return None
        with exclusive(folder):
            return DecodeCache(path, num_slots, 0, lock_table(path, num_slots, 0))
    except OSError:
        return None


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Inside, no other process makes or removes caches."""
    handle = os.open(folder / "decoded.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def lock_table(path: Path, num_slots: int, planned: int) -> int:
    """A descriptor that holds a shared lock on a whole table, as long as a process has it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        found = os.pread(handle, HEADER.itemsize, 0)
        if found[:16] != FORMAT or os.fstat(handle).st_size != table_size(num_slots):
            path.with_suffix(".pixels").unlink(missing_ok=True)
            os.ftruncate(handle, 0)
            os.ftruncate(handle, table_size(num_slots))  # all slots 0: nothing there
            header = np.array([(FORMAT, planned, num_slots)], HEADER)
            os.pwrite(handle, header.tobytes(), 0)
        os.utime(path)
    except BaseException:
        os.close(handle)
        raise
    return handle


def table_size(num_slots: int) -> int:
    return HEADER.itemsize + num_slots * SLOT.itemsize


def make_room(folder: Path, planned: int, limit: int) -> bool:
    """Remove caches that nobody uses, the oldest first, until `planned` bytes more are allowed.

    That is decoded images and features of images (features.py), which share the limit.
    """
    found = [*folder.glob("decoded-*.table"), *folder.glob("features-*.rows")]
    tables = sorted(found, key=lambda path: path.stat().st_mtime)
    sizes = {path: planned_bytes(path) for path in tables}
    used = sum(sizes.values())
    for path in tables:
        if used + planned <= limit and planned <= free_bytes(folder):
            break
        if remove_unused(path):
            used -= sizes[path]
    return used + planned <= limit and planned <= free_bytes(folder)


def remove_unused(path: Path) -> bool:
    handle = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.with_suffix(".pixels").unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        return True
    except OSError:
        return False
    finally:
        os.close(handle)


def planned_bytes(path: Path) -> int:
    """What a cache takes, now or when all its images are there."""
    if path.suffix == ".rows":
        return path.stat().st_size
    header: NDArray[Any] = np.fromfile(path, HEADER, 1)
    pixels = path.with_suffix(".pixels")
    now = pixels.stat().st_size if pixels.exists() else 0
    return max(now, int(header["planned"][0]) if len(header) else 0)


def free_bytes(folder: Path) -> int:
    """Half of what is free on the disk: other things need room too."""
    return shutil.disk_usage(folder).free // 2
