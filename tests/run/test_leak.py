"""The trials of a search share one look at the pictures that are on both sides."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pochitrain.data.dataset import DataSplits, ImageDataset, Subset
from pochitrain.data.folder import ImageFolderDataset, list_images
from pochitrain.run import leak
from pochitrain.run.leak import find_leaks


def test_the_same_two_sides_are_compared_once_in_a_search(
    make_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = list_images(make_folder(tmp_path / "train", {"a": 6}))
    base = ImageFolderDataset([*paths, *paths[:2]], [0] * 8)  # the last two are twins
    looks: list[int] = []
    whole = leak.find_twins

    def count(train: ImageDataset, val: ImageDataset) -> Any:
        looks.append(len(val))
        return whole(train, val)

    monkeypatch.setattr(leak, "find_twins", count)

    def split(num_train: int) -> DataSplits:
        train, val = Subset(base, range(num_train)), Subset(base, range(num_train, 8))
        return DataSplits(train, val, ["a"], [])

    first = find_leaks(split(6), in_search=True)
    assert first is not None and first.same == {0: 0, 1: 1}
    assert find_leaks(split(6), in_search=True) is first
    assert looks == [2]
    other = find_leaks(split(5), in_search=True)
    assert other is not None and other.same == {1: 0, 2: 1}
    assert find_leaks(split(6)) == first  # a run by itself always looks
    assert looks == [2, 3, 2]
