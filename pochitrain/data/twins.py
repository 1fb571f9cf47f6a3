"""Images that are on both sides of a split: the same bytes, or found alike by an earlier check.

Comparing costs next to nothing: only files of the same size can be the same, only those are read,
and what was read is remembered with size and time of the file.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pochitrain.atomic import write_text
from pochitrain.data.dataset import ImageDataset, Subset
from pochitrain.data.folder import ImageFolderDataset
from pochitrain.data.index import file_stamp
from pochitrain.data.member import find_member, read_member
from pochitrain.paths import cache_directory
from pochitrain.text import read_object

MOST_FILES = 50_000
"""Of larger sets nothing is compared: asking so many files for their size takes about 0.2 s."""
MOST_BYTES = 100_000_000
"""If more than this has to be read, nothing is compared: about 0.3 s from a fast disk."""
FORMAT = 1

Stamp = tuple[int, int]
"""Size in bytes and time of change in ns of a file."""
Known = dict[str, tuple[Stamp, str]]
"""Absolute path -> stamp and digest of the content."""


@dataclass(frozen=True)
class Twins:
    """Which validation images are in training too."""

    num_val: int
    same: dict[int, int]
    """Position in validation -> position in training of a file with the same bytes."""
    alike: dict[int, int]
    """The same for images that an earlier `pochi data check` found nearly the same."""

    @property
    def positions(self) -> list[int]:
        """In validation, sorted."""
        return sorted({*self.same, *self.alike})


def find_twins(train: ImageDataset, val: ImageDataset) -> Twins | None:
    """Compare both sides; None where that would take long, or the images are no files."""
    if len(train) + len(val) > MOST_FILES:
        return None
    sides = [list_files(train), list_files(val)]
    if sides[0] is None or sides[1] is None or not sides[0] or not sides[1]:
        return None
    stamps = [[file_stamp(path) for path in side or ()] for side in sides]
    same = compare_bytes((sides[0], sides[1]), (stamps[0], stamps[1]))
    if same is None:
        return None
    stamp_of = dict(zip([*sides[0], *sides[1]], [*stamps[0], *stamps[1]], strict=True))
    place = [{path: i for i, path in enumerate(side or ())} for side in sides]
    alike: dict[int, int] = {}
    for group in load_alike(sides[0]):
        current = [path for path, stamp in group if stamp_of.get(path) == stamp]
        in_train = [place[0][path] for path in current if path in place[0]]
        if in_train:
            alike |= {place[1][path]: in_train[0] for path in current if path in place[1]}
    return Twins(len(val), same, {i: twin for i, twin in alike.items() if i not in same})


def file_of(dataset: ImageDataset, index: int) -> str | None:
    """The path of an image file; None for an image from elsewhere."""
    while isinstance(dataset, Subset):
        index = dataset.position(index)
        dataset = dataset.base
    return dataset.paths[index] if isinstance(dataset, ImageFolderDataset) else None


def list_files(dataset: ImageDataset) -> list[str] | None:
    """The absolute paths of all images; None if they are no files."""
    positions = np.arange(len(dataset))
    while isinstance(dataset, Subset):
        positions, dataset = np.asarray(dataset.indices)[positions], dataset.base
    if not isinstance(dataset, ImageFolderDataset):
        return None
    here = os.getcwd()
    paths = (dataset.paths[i] for i in positions.tolist())
    return [path if os.path.isabs(path) else os.path.join(here, path) for path in paths]


def compare_bytes(
    sides: tuple[Sequence[str], Sequence[str]], stamps: tuple[Sequence[Stamp], Sequence[Stamp]]
) -> dict[int, int] | None:
    """Position on the second side -> position on the first of a file with the same bytes.

    None if too much would have to be read.
    """
    shared = {size for size, _ in stamps[0]} & {size for size, _ in stamps[1]}
    shared -= {-1}
    wanted = [
        (path, stamp)
        for side, own in zip(sides, stamps, strict=True)
        for path, stamp in zip(side, own, strict=True)
        if stamp[0] in shared
    ]
    known = load_known(sides[0])
    missing = [(path, stamp) for path, stamp in wanted if known.get(path, (None,))[0] != stamp]
    if sum(stamp[0] for _, stamp in missing) > MOST_BYTES:
        return None
    for path, stamp in missing:
        with suppress(OSError):  # said where it is loaded
            known[path] = stamp, hash_file(path)
    if missing:
        # The others are kept: the test images of the same folder, or another split of it.
        few = len(known) <= 2 * MOST_FILES
        kept = known if few else {path: known[path] for path, _ in wanted if path in known}
        save_known(sides[0], kept)
    digests = {path: known[path][1] for path, _ in wanted if path in known}
    first = {digests[path]: i for i, path in enumerate(sides[0]) if path in digests}
    return {
        i: first[digests[path]]
        for i, path in enumerate(sides[1])
        if path in digests and digests[path] in first
    }


def hash_file(path: str) -> str:
    """Of the content of a file, or of a file in a tar file."""
    if (member := find_member(path)) is not None:
        return hashlib.blake2b(read_member(member), digest_size=16).hexdigest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def store(kind: str, train: Sequence[str]) -> Path:
    """The file that remembers something about a training set, by the folder that holds it."""
    try:
        root = os.path.commonpath([os.path.dirname(path) for path in train])
    except ValueError:  # on several drives of Windows
        root = ""
    key = hashlib.blake2b(os.fsencode(root), digest_size=8).hexdigest()
    return cache_directory() / f"{kind}-{key}.json"


def load(path: Path) -> Any:
    """The content of such a file; empty if there is none of this version."""
    content = read_object(path)
    return content["files"] if content.get("format") == FORMAT else []


def save(path: Path, files: list[Any]) -> None:
    """Write such a file; without it the next run compares again."""
    text = json.dumps({"format": FORMAT, "files": files})  # ASCII: any file name survives
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)


def load_known(train: Sequence[str]) -> Known:
    rows = load(store("contents", train))
    return {path: ((size, mtime), text) for path, size, mtime, text in rows}


def save_known(train: Sequence[str], known: Known) -> None:
    rows = [[path, *stamp, text] for path, (stamp, text) in known.items()]
    save(store("contents", train), rows)


def load_alike(train: Sequence[str]) -> list[list[tuple[str, Stamp]]]:
    """Groups of files that are alike, with their stamps at that time."""
    groups = load(store("alike", train))
    return [[(path, (size, mtime)) for path, size, mtime in group] for group in groups]


def save_alike(data: Sequence[ImageDataset], groups: Iterable[Sequence[tuple[int, int]]]) -> None:
    """Remember which images are alike, for the trainings to come.

    Args:
        data: the sides, training first.
        groups: (side, position) of images that are alike.
    """
    sides = [list_files(side) for side in data]
    if any(not side for side in sides):
        return
    rows = []
    for group in groups:
        paths = [(sides[side] or [])[position] for side, position in group]
        rows.append([[path, *file_stamp(path)] for path in paths])
    save(store("alike", sides[0] or []), rows)
