"""Images that are on both sides of a split."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pochitrain.data import twins
from pochitrain.data.dataset import Subset
from pochitrain.data.digits import open_digits
from pochitrain.data.folder import ImageFolderDataset, list_images
from pochitrain.data.twins import find_twins, save_alike

Make = Callable[..., Path]


def folder(root: Path) -> ImageFolderDataset:
    paths = list_images(root)
    return ImageFolderDataset(paths, [0] * len(paths))


@pytest.fixture
def sides(make_folder: Make, tmp_path: Path) -> tuple[Path, Path]:
    train = make_folder(tmp_path / "train", {"a": 4, "b": 4})
    val = make_folder(tmp_path / "val", {"a": 6})  # the first four are those of training
    return train, val


def test_files_with_the_same_bytes(sides: tuple[Path, Path]) -> None:
    train, val = map(folder, sides)
    found = find_twins(train, val)
    assert found is not None
    assert found.num_val == 6
    assert found.same == {0: 0, 1: 1, 2: 2, 3: 3}
    assert found.positions == [0, 1, 2, 3]
    # Names do not matter, and of a split of one folder positions are those in the split.
    assert find_twins(Subset(train, [5, 2]), Subset(val, [4, 3, 2])).same == {2: 1}


def test_the_same_size_is_not_the_same_content(sides: tuple[Path, Path]) -> None:
    train, val = sides
    target = val / "a" / "000.png"
    content = bytearray(target.read_bytes())
    content[-20] ^= 1
    target.write_bytes(content)
    assert 0 not in find_twins(folder(train), folder(val)).same


def test_what_was_read_is_remembered_until_it_changes(
    sides: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, val = sides
    read: list[str] = []
    hash_file = twins.hash_file
    monkeypatch.setattr(twins, "hash_file", lambda path: (read.append(path), hash_file(path))[1])
    first = find_twins(folder(train), folder(val))
    assert 8 <= len(read) <= 14
    read.clear()
    assert find_twins(folder(train), folder(val)) == first
    assert read == []
    target = train / "a" / "001.png"
    os.utime(target, ns=(1, 1))
    assert find_twins(folder(train), folder(val)) == first
    assert read == [str(target)]


def test_nothing_is_said_where_it_would_take_long(
    sides: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, val = map(folder, sides)
    monkeypatch.setattr(twins, "MOST_BYTES", 1000)
    assert find_twins(train, val) is None
    monkeypatch.undo()
    monkeypatch.setattr(twins, "MOST_FILES", 13)
    assert find_twins(train, val) is None


def test_images_in_memory_are_not_compared() -> None:
    data = open_digits(image_size=8, val_fraction=0.2, seed=0)
    assert find_twins(data.train, data.val) is None


def test_what_a_check_found_alike_counts_while_the_files_are_as_they_were(
    sides: tuple[Path, Path],
) -> None:
    train, val = map(folder, sides)
    save_alike([train, val], [[(0, 7), (1, 5)], [(0, 1), (1, 1)], [(1, 4), (1, 2)]])
    found = find_twins(train, val)
    assert found.alike == {5: 7}  # 1 has the same bytes, 4 and 2 are both in validation
    assert found.positions == [0, 1, 2, 3, 5]
    # Another split of the same folders: now 4 and 2 are on different sides.
    assert find_twins(Subset(train, range(8)), Subset(val, [5, 4])).alike == {0: 7}
    os.utime(sides[1] / "a" / "005.png", ns=(1, 1))
    assert find_twins(train, val).alike == {}


def test_broken_memory_is_no_harm(sides: tuple[Path, Path]) -> None:
    train, val = map(folder, sides)
    expected = find_twins(train, val)
    for file in (Path(os.environ["XDG_CACHE_HOME"]) / "pochitrain").glob("contents-*"):
        file.write_text("{")
    assert find_twins(train, val) == expected
