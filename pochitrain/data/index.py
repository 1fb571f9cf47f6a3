"""The image files below a folder of class folders, remembered between runs."""

import hashlib
import os
import time
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from pochitrain.atomic import write_with
from pochitrain.data.member import find_member, member_stamp
from pochitrain.data.progress import WaitDisplay
from pochitrain.paths import cache_directory

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")

FORMAT = 1
"""Of the index file; counts up when its content or what is listed changes."""

SETTLED_NS = 2_000_000_000
"""A folder that changed this shortly before it was read may change again within the same tick of
its clock (2 s on FAT), so it is read again."""

RESTAT_FILES = 50_000
"""Up to so many files are asked for their time at every start. Of larger sets only the folders are:
a file that was overwritten in place is then noticed when it is read."""

SUSPECT, UNKNOWN, HEADER_READ, DECODED = range(4)
"""What is known about a file: could not be read, nothing, its header, or all its pixels."""

Int64s = NDArray[np.int64]


class PathList(Sequence[str]):
    """Paths as one block of bytes: about 10 bytes each beside the text, and no objects.

    So a million of them stay small, and loader processes share them without copying.
    """

    def __init__(self, text: bytes, ends: Int64s, prefix: str = "") -> None:
        """Wrap the paths.

        Args:
            text: all paths in UTF-8 (bytes that are none as they are), a zero byte after each.
            ends: where each path ends in `text`, behind its zero byte.
            prefix: put before each path.
        """
        self.text = text
        self.ends = ends
        self.prefix = prefix

    @classmethod
    def of(cls, paths: Iterable[str], prefix: str = "") -> "PathList":
        return cls.join([encode(path) for path in paths], prefix)

    @classmethod
    def join(cls, parts: list[bytes], prefix: str = "") -> "PathList":
        ends = np.cumsum([len(part) + 1 for part in parts], dtype=np.int64)
        return cls(b"".join([part + b"\0" for part in parts]), ends, prefix)

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self.prefix + self.raw(range(len(self))[index]).decode("utf-8", "surrogateescape")

    def raw(self, index: int) -> bytes:
        """Path `index` >= 0 without the prefix."""
        start = self.ends[index - 1] if index else 0
        return self.text[start : self.ends[index] - 1]

    def split_raw(self) -> list[bytes]:
        """All paths without the prefix."""
        return self.text.split(b"\0")[:-1]

    def base_names(self) -> list[bytes]:
        """What follows the last slash of each path."""
        return [path.rpartition(b"/")[2] for path in self.split_raw()]

    def take(self, indices: Int64s) -> "PathList":
        return PathList.join([self.raw(i) for i in indices.tolist()], self.prefix)


def encode(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


@dataclass
class FolderIndex:
    """The images below a root, class folder by class folder, each sorted by path."""

    root: str
    folders: list[str]
    """Sorted names of the class folders."""
    counts: Int64s
    """Images in each, shape (F,)."""
    loose: list[str]
    """Sorted names of the images directly in the root."""
    paths: PathList
    num_bytes: Int64s
    """Size of each file, shape (N,); -1 for a link to nothing."""
    mtime_ns: Int64s
    """When each file was changed, shape (N,)."""
    known: NDArray[np.uint8]
    """SUSPECT, UNKNOWN, HEADER_READ or DECODED, shape (N,)."""
    directories: PathList = field(default_factory=lambda: PathList.of([]))
    """All folders that were read."""
    directory_stamps: Int64s = field(default_factory=lambda: np.zeros((0, 4), np.int64))
    """Device, inode, time of change and of status change of each, shape (D, 4)."""
    read_ns: int = 0
    """When reading began."""

    def save(self) -> None:
        """Write the index file; without one the next run reads the folders again."""
        lists = {"paths": self.paths, "directories": self.directories}
        lists |= {"folders": PathList.of(self.folders), "loose": PathList.of(self.loose)}
        arrays: dict[str, NDArray[Any]] = {"format": np.array([FORMAT, self.read_ns], np.int64)}
        for key, paths in lists.items():
            arrays[f"{key}_text"] = np.frombuffer(paths.text, np.uint8)
            arrays[f"{key}_ends"] = paths.ends
        for key in ("counts", "num_bytes", "mtime_ns", "known", "directory_stamps"):
            arrays[key] = getattr(self, key)
        store = index_file(self.root)
        try:
            store.parent.mkdir(parents=True, exist_ok=True)
            # mypy takes the names of arrays for savez's own keyword, which is a bool.
            write_with(store, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]
        except OSError:
            pass

    def is_current(self) -> bool:
        """Whether no folder has changed since."""
        newest = self.directory_stamps[:, 2:].max(initial=0)
        if newest > self.read_ns - SETTLED_NS:
            return False
        now = (directory_stamp(path) for path in self.directories)
        pairs = zip(now, self.directory_stamps.tolist(), strict=True)
        return all(found == then for found, then in pairs)

    def restat(self) -> bool:
        """Ask every file for its size and time; returns whether one has changed."""
        stamps = np.array([file_stamp(path) for path in self.paths], np.int64).reshape(-1, 2)
        changed = (stamps[:, 0] != self.num_bytes) | (stamps[:, 1] != self.mtime_ns)
        self.num_bytes, self.mtime_ns = stamps[:, 0].copy(), stamps[:, 1].copy()
        self.known[changed] = UNKNOWN
        return bool(changed.any())

    def remember(self, earlier: "FolderIndex") -> None:
        """Take over what an earlier index knew about files that have not changed since."""
        stamps = zip(earlier.num_bytes.tolist(), earlier.mtime_ns.tolist(), strict=True)
        rows = zip(earlier.paths.split_raw(), stamps, earlier.known.tolist(), strict=True)
        seen = {(path, *stamp): known for path, stamp, known in rows}
        mine = zip(
            self.paths.split_raw(), self.num_bytes.tolist(), self.mtime_ns.tolist(), strict=True
        )
        self.known = np.array([seen.get(row, UNKNOWN) for row in mine], np.uint8)


def open_index(root: str | Path) -> FolderIndex:
    """The images below `root`: from the index file where no folder has changed, else read anew."""
    text = str(Path(root))
    saved = load_index(text)
    if saved is not None and saved.is_current():
        if len(saved.paths) <= RESTAT_FILES and saved.restat():
            saved.save()
        return saved
    index = read_folders(text)
    if saved is not None:
        index.remember(saved)
    index.save()
    return index


def read_folders(root: str) -> FolderIndex:
    """Read every folder below `root` once."""
    read_ns = time.time_ns()
    prefix = directory_prefix(root)
    directories, folders, loose = ["."], [], []
    stamps = [directory_stamp(root)]
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                folders.append(entry.name)
            elif is_image_name(entry.name):
                loose.append(entry.name)
    folders.sort()
    counts, parts, file_stamps = [], [], []
    with WaitDisplay("Listing pictures") as display:
        for folder in folders:
            found = []
            for path, entry in walk(prefix, folder, directories, stamps):
                found.append((path, *entry_stamp(entry)))
                display.advance()
            found.sort()
            counts.append(len(found))
            parts.append(PathList.of(path for path, _, _ in found))
            file_stamps.append(np.array([row[1:] for row in found], np.int64).reshape(-1, 2))
    both = np.concatenate(file_stamps) if file_stamps else np.zeros((0, 2), np.int64)
    lengths = [np.diff(part.ends, prepend=0) for part in parts]
    ends = np.cumsum(np.concatenate(lengths) if lengths else [], dtype=np.int64)
    return FolderIndex(
        root,
        folders,
        np.array(counts, np.int64),
        sorted(loose),
        PathList(b"".join([part.text for part in parts]), ends, prefix),
        both[:, 0].copy(),
        both[:, 1].copy(),
        np.full(len(both), UNKNOWN, np.uint8),
        PathList.of(directories, prefix),
        np.array(stamps, np.int64),
        read_ns,
    )


def walk(
    prefix: str, folder: str, directories: list[str], stamps: list[list[int]]
) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """Each image file anywhere below `prefix + folder` as (path, entry), the path without `prefix`.

    Hidden files and folders are ignored. Links to folders are followed, except to one that holds
    the link: that would never end. Adds every folder to `directories` and `stamps`.
    """
    waiting = [folder]
    while waiting:
        folder = waiting.pop()
        directories.append(folder)
        stamps.append(directory_stamp(prefix + folder))
        try:
            entries = os.scandir(prefix + folder)
        except OSError:
            continue
        with entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    if not (entry.is_symlink() and leads_back(entry.path)):
                        waiting.append(f"{folder}{os.sep}{entry.name}")
                elif is_image_name(entry.name):
                    yield f"{folder}{os.sep}{entry.name}", entry


def directory_prefix(root: str) -> str:
    """What comes before the paths below `root`."""
    return "" if root == "." else os.path.join(root, "")


def is_image_name(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS)


def leads_back(path: str) -> bool:
    """Whether the link `path` leads to one of the folders that led to it."""
    way = Path(os.path.abspath(path)).parents
    return os.path.realpath(path) in {os.path.realpath(folder) for folder in way}


def file_stamp(path: str) -> tuple[int, int]:
    """Size in bytes and time of change in ns; (-1, 0) for a file that is gone."""
    if (member := find_member(path)) is not None:
        return member_stamp(member)
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # ValueError: no file has a null byte in its name
        return -1, 0
    return status.st_size, status.st_mtime_ns


def entry_stamp(entry: "os.DirEntry[str]") -> tuple[int, int]:
    """The same, of an entry of a folder."""
    try:
        status = entry.stat()
    except OSError:
        return -1, 0
    return status.st_size, status.st_mtime_ns


def directory_stamp(path: str) -> list[int]:
    """What changes when something in the folder comes, goes or is renamed."""
    try:
        status = os.stat(path)
    except OSError:
        return [0, 0, 0, 0]
    return [
        as_int64(status.st_dev),
        as_int64(status.st_ino),
        status.st_mtime_ns,
        status.st_ctime_ns,
    ]


def as_int64(number: int) -> int:
    """An unsigned 64-bit number as a signed one."""
    return (number + 2**63) % 2**64 - 2**63


def index_file(root: str) -> Path:
    name = hashlib.blake2b(os.fsencode(os.path.abspath(root)), digest_size=8).hexdigest()
    return cache_directory() / f"index-{name}.npz"


def load_index(root: str) -> FolderIndex | None:
    """The saved index; None if there is none, or none of this version and root."""
    try:
        with open(index_file(root), "rb") as file, np.load(file, allow_pickle=False) as saved:
            version, read_ns = saved["format"].tolist()
            if version != FORMAT:
                return None
            lists = {
                key: PathList(saved[f"{key}_text"].tobytes(), saved[f"{key}_ends"])
                for key in ("folders", "loose", "paths", "directories")
            }
            keys = ("counts", "num_bytes", "mtime_ns", "known", "directory_stamps")
            arrays = {key: saved[key] for key in keys}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    lists["paths"].prefix = lists["directories"].prefix = directory_prefix(root)
    return FolderIndex(
        root,
        list(lists["folders"]),
        arrays["counts"],
        list(lists["loose"]),
        lists["paths"],
        arrays["num_bytes"],
        arrays["mtime_ns"],
        arrays["known"],
        lists["directories"],
        arrays["directory_stamps"],
        read_ns,
    )
