"""The index file: used while no folder has changed, and giving what reading the folders gives."""

import os
import sys
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pochitrain.data import index as index_module
from pochitrain.data.dataset import DataSplits, Subset, fingerprint
from pochitrain.data.folder import ImageFolderDataset, open_folder
from pochitrain.data.index import PathList, open_index

MakeFolder = Callable[..., Path]


@pytest.fixture
def scanned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that are read; changes of a moment ago count as long ago."""
    monkeypatch.setattr(index_module, "SETTLED_NS", -(10**18))
    seen: list[str] = []
    real = os.scandir

    def scandir(path: str) -> object:
        seen.append(str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    return seen


def test_folders_are_read_once(
    tmp_path: Path, make_folder: MakeFolder, scanned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder(tmp_path / "r", {"a": 2, "b": 1})
    first = open_index(root)
    assert sorted(scanned) == [str(root), str(root / "a"), str(root / "b")]
    again = open_index(root)
    assert len(scanned) == 3
    assert list(again.paths) == list(first.paths)
    assert (again.folders, again.counts.tolist(), again.loose) == (["a", "b"], [2, 1], [])
    monkeypatch.chdir(tmp_path)
    assert list(open_index("r").paths) == ["r/a/000.png", "r/a/001.png", "r/b/000.png"]
    monkeypatch.chdir(root)
    assert list(open_index(".").paths) == ["a/000.png", "a/001.png", "b/000.png"]
    assert len(scanned) == 3


@pytest.mark.parametrize("change", ["add", "remove", "rename", "folder", "deep", "target"])
def test_a_change_is_seen(
    tmp_path: Path, make_folder: MakeFolder, scanned: list[str], change: str
) -> None:
    root = make_folder(tmp_path / "r", {"a": 2, "b": 1})
    make_folder(tmp_path / "other", {"deep": 1})
    (root / "a" / "link").symlink_to(tmp_path / "other" / "deep")
    names = {"a/000.png", "a/001.png", "a/link/000.png", "b/000.png"}
    assert {os.path.relpath(path, root) for path in open_index(root).paths} == names
    if change == "add":
        (root / "b" / "new.jpg").touch()
        names |= {"b/new.jpg"}
    elif change == "remove":
        (root / "a" / "001.png").unlink()
        names -= {"a/001.png"}
    elif change == "rename":
        (root / "a" / "001.png").rename(root / "a" / "x.png")
        names = names - {"a/001.png"} | {"a/x.png"}
    elif change == "folder":
        (root / "c").mkdir()
    elif change == "deep":
        (tmp_path / "other" / "deep" / "y.png").touch()
        names |= {"a/link/y.png"}
    else:
        (root / "a" / "link").unlink()
        (root / "a" / "link").symlink_to(root / "b")
        # both lead to the one image of b
    assert {os.path.relpath(path, root) for path in open_index(root).paths} == names


def test_a_folder_that_has_just_changed_is_read_again(
    tmp_path: Path, make_folder: MakeFolder
) -> None:
    """Its time may not change when another file comes within the same tick of the clock."""
    root = make_folder(tmp_path / "r", {"a": 1})
    status = (root / "a").stat()
    open_index(root)
    (root / "a" / "new.png").touch()
    os.utime(root / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert len(open_index(root).paths) == 2


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no archive"])
def test_a_damaged_index_file_is_replaced(
    tmp_path: Path, make_folder: MakeFolder, scanned: list[str], damage: bytes
) -> None:
    root = make_folder(tmp_path / "r", {"a": 1})
    open_index(root)
    index_module.index_file(str(root)).write_bytes(damage)
    assert len(open_index(root).paths) == 1
    del scanned[:]
    assert len(open_index(root).paths) == 1
    assert scanned == []


def test_a_million_paths_are_small(tmp_path: Path) -> None:
    """Counted for 100,000: text, ends, label and stamps; nothing else grows with the set."""
    paths = PathList.of(f"class_{i % 100:03d}/{i:010d}.jpg" for i in range(100_000))
    dataset = ImageFolderDataset(paths, np.zeros(len(paths), np.int64))
    arrays = [paths.ends, dataset.labels, np.zeros(len(paths), np.int64)]
    resident = len(paths.text) + sum(array.nbytes for array in arrays)
    assert resident / len(paths) < 60
    assert sys.getsizeof(dataset.__dict__) < 1000
    assert dataset.name(99_999) == "class_099/0000099999.jpg"


@given(st.lists(st.text(st.characters(exclude_characters="\0"))))
def test_path_list_is_a_list(paths: list[str]) -> None:
    paths = [os.fsencode(p).decode("utf-8", "surrogateescape") for p in paths if p.isprintable()]
    listed = PathList.of(paths, "p/")
    assert list(listed) == [f"p/{path}" for path in paths]
    assert listed[1:3] == list(listed)[1:3]
    if paths:
        assert listed[-1] == f"p/{paths[-1]}"
        assert list(listed.take(np.array([len(paths) - 1, 0]))) == [listed[-1], listed[0]]


NAMES = [
    "a-b/x.png",
    "a/x.png",
    "a.png",
    "é.png",
    "\udcff.png",
    "\udc80/z.png",
    "B.png",
    "a/.h.png",
]


def test_order_is_that_of_the_whole_paths(tmp_path: Path) -> None:
    """As in earlier versions: it decides splits, batches and the fingerprint of a checkpoint."""
    for name in NAMES:
        (tmp_path / "c" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "c" / name).touch()
    found = []
    for directory, _, files in os.walk(tmp_path / "c"):
        found += [os.path.join(directory, name) for name in files if not name.startswith(".")]
    assert list(open_index(tmp_path).paths) == sorted(found)


def test_fingerprint_is_that_of_earlier_versions(tmp_path: Path, make_folder: MakeFolder) -> None:
    root = make_folder(tmp_path / "r", {"a": 3, "b": 4})
    (root / "a" / "\udcff.png").write_bytes((root / "a" / "000.png").read_bytes())
    data = open_folder(train_root=str(root), val_fraction=0.4)
    digest = blake2b(digest_size=16)
    for split in (data.train, data.val):
        digest.update(b"split\n")
        assert split is not None
        for i, label in enumerate(split.labels):
            name = split.name(i).rpartition("/")[2]
            digest.update(f"{int(label)}\t{name}\n".encode("utf-8", "surrogateescape"))
    assert fingerprint(data) == digest.hexdigest()
    many = ImageFolderDataset([f"{i}.png" for i in range(10_000)], np.arange(10_000) % 3)
    parts = [Subset(many, range(10_000)), many]
    assert len({fingerprint(DataSplits(part, None, [], [])) for part in parts}) == 1
