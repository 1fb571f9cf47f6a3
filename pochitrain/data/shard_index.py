"""What the tar files of `data=shards` hold, remembered between runs."""

import hashlib
import json
import os
import re
import tarfile
import unicodedata
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pochitrain.atomic import write_with
from pochitrain.data.index import EXTENSIONS, Int64s, PathList, file_stamp
from pochitrain.data.member import Member, member_path, read_member
from pochitrain.error import ConfigError
from pochitrain.paths import cache_directory
from pochitrain.text import first_line, shorten_list

FORMAT = 1
"""Of the file that remembers what a shard holds."""

SAMPLE = re.compile(r"((?:.*/)?[^/.]+)\.([^/]+)")
"""Key and ending of a file: the key goes to the first dot of the name."""

IMAGE_ENDINGS = {ending.removeprefix(".") for ending in EXTENSIONS}
LABEL_ENDINGS = ("cls", "txt", "json")
"""The first that a sample has is its label."""

ENDINGS = {*IMAGE_ENDINGS, *LABEL_ENDINGS}

NUM_SHOWN = 5


@dataclass
class Shard:
    """The images of one tar file, in its order. N images."""

    tar: str
    names: PathList
    offsets: Int64s
    sizes: Int64s
    labels: list[str]

    def paths(self) -> list[str]:
        """What the images can be opened by."""
        rows = zip(self.offsets.tolist(), self.sizes.tolist(), self.names, strict=True)
        return [member_path(self.tar, offset, size, name) for offset, size, name in rows]


def open_shard(path: str, key: str, label_key: str) -> Shard:
    """What a tar file holds, as remembered or read anew."""
    stamp = file_stamp(path)
    identity = f"{os.path.abspath(path)}\n{label_key}".encode("utf-8", "surrogateescape")
    name = hashlib.blake2b(identity, digest_size=8).hexdigest()
    store = cache_directory() / f"shard-{name}.npz"
    found = load_shard(store, path, stamp)
    if found is None:
        found = list_shard(path, key, label_key)
        save_shard(store, found, stamp)
    return found


def list_shard(path: str, key: str, label_key: str) -> Shard:
    """Read all headers of a tar file, and the labels.

    Raises:
        ConfigError: for a damaged file, and for images without a label or with a wrong one.
    """
    files: dict[str, dict[str, Member]] = {}
    wrong = []
    try:
        with tarfile.open(path, "r:") as tar:
            for entry in tar:
                tar.members = []  # type: ignore[attr-defined]  # else all headers are kept
                parts = SAMPLE.fullmatch(entry.name)
                if parts is None or entry.isdir():
                    continue
                key_of_sample, ending = parts.groups()
                if ending.lower() not in ENDINGS:
                    continue
                if not entry.isfile() or entry.issparse():  # its bytes are not in one place here
                    wrong.append(f"{entry.name!r}, which is a link or a sparse file")
                    continue
                sample = files.setdefault(key_of_sample, {})
                if ending in sample:
                    wrong.append(f"{entry.name!r} twice")
                sample[ending] = Member(path, entry.offset_data, entry.size)
    except (tarfile.TarError, OSError, EOFError, ValueError, OverflowError) as error:
        raise ConfigError(
            f"{key} must match tar files that can be read, got {path!r}: "
            f"{first_line(error).rstrip('.')}."
        ) from None
    names, members, labels = [], [], []
    for name, sample in files.items():
        images = [ending for ending in sample if ending.lower() in IMAGE_ENDINGS]
        if not images:
            continue
        label = read_label({ending.lower(): member for ending, member in sample.items()}, label_key)
        if len(images) > 1:
            wrong.append(f"{name!r} with several pictures ({', '.join(images)})")
        elif not label:
            wrong.append(f"{name!r} without a label (.cls, .txt, .json with {label_key!r})")
        else:
            names.append(f"{name}.{images[0]}")
            members.append(sample[images[0]])
            labels.append(label)
    if wrong:
        raise ConfigError(
            f"{key} must hold one picture and a label for each key, got "
            f"{shorten_list(wrong, NUM_SHOWN)} in {path!r}."
        )
    where = np.array([member[1:] for member in members], np.int64).reshape(-1, 2)
    return Shard(path, PathList.of(names), where[:, 0].copy(), where[:, 1].copy(), labels)


def read_label(parts: dict[str, Member], label_key: str) -> str:
    """The label of a sample; empty where there is none that can be read."""
    for ending in LABEL_ENDINGS:
        if ending not in parts:
            continue
        try:
            text = read_member(parts[ending]).decode("utf-8-sig")
            if ending == "json":
                value = json.loads(text)[label_key]
                text = str(value) if isinstance(value, (str, int)) else ""
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return ""
        return unicodedata.normalize("NFC", text.strip())
    return ""


def save_shard(store: Path, shard: Shard, stamp: tuple[int, int]) -> None:
    """Remember what a shard holds; without that the next run reads its headers again."""
    labels = PathList.of(shard.labels)
    arrays = {
        "format": np.array([FORMAT, *stamp], np.int64),
        "names": np.frombuffer(shard.names.text, np.uint8),
        "name_ends": shard.names.ends,
        "labels": np.frombuffer(labels.text, np.uint8),
        "label_ends": labels.ends,
        "offsets": shard.offsets,
        "sizes": shard.sizes,
    }
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        # mypy takes the names of arrays for savez's own keyword, which is a bool.
        write_with(store, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]
    except OSError:
        pass


def load_shard(store: Path, path: str, stamp: tuple[int, int]) -> Shard | None:
    """What `save_shard` has written; None if there is none of this tar file as it is now."""
    try:
        with open(store, "rb") as file, np.load(file, allow_pickle=False) as saved:
            if saved["format"].tolist() != [FORMAT, *stamp]:
                return None
            names = PathList(saved["names"].tobytes(), saved["name_ends"])
            labels = PathList(saved["labels"].tobytes(), saved["label_ends"])
            return Shard(path, names, saved["offsets"], saved["sizes"], list(labels))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
