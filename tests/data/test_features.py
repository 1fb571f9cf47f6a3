"""The file of features: what a killed process leaves, two processes, no room, no file at all."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from pochitrain.data import feature_loader
from pochitrain.data import features as module
from pochitrain.data.cache import make_room
from pochitrain.data.features import Rows, Wanted, obtain_features
from pochitrain.error import DataError

ROOM = 10**9
ALL = np.arange(10 * 3, dtype=np.float32).reshape(10, 3)


def wanted(key: str = "k") -> Wanted:
    return Wanted(key, 10, 3, 4)


class Source:
    """Gives ALL in blocks, and remembers from which rows on it was asked."""

    def __init__(self, fails_at: int = 99) -> None:
        self.asked: list[int] = []
        self.fails_at = fails_at

    def __call__(self, first: int) -> Iterator[Rows]:
        self.asked.append(first)
        for start in range(first, 10, 4):
            if start >= self.fails_at:
                raise KeyboardInterrupt
            yield ALL[start : start + 4]


def never() -> None:
    raise AssertionError("nobody else computes them")


def test_are_computed_once() -> None:
    source = Source()
    first = obtain_features(wanted(), source, ROOM, never)
    again = obtain_features(wanted(), source, ROOM, never)
    assert source.asked == [0]
    assert (first.num_reused, again.num_reused) == (0, 10)
    assert np.array_equal(first.rows, ALL)
    assert np.array_equal(again.rows, ALL)
    obtain_features(wanted("other"), source, ROOM, never)
    assert source.asked == [0, 0]


def test_go_on_after_the_last_block_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SYNC_S", 0.0)
    with pytest.raises(KeyboardInterrupt):
        obtain_features(wanted(), Source(fails_at=8), ROOM, never)
    source = Source()
    found = obtain_features(wanted(), source, ROOM, never)
    assert source.asked == [8]
    assert found.num_reused == 8
    assert np.array_equal(found.rows, ALL)


def test_rows_that_are_not_counted_are_computed_again() -> None:
    """Within SYNC_S nothing is counted: rows may not have reached the disk."""
    with pytest.raises(KeyboardInterrupt):
        obtain_features(wanted(), Source(fails_at=8), ROOM, never)
    source = Source()
    obtain_features(wanted(), source, ROOM, never)
    assert source.asked == [0]


def test_a_damaged_file_is_not_used() -> None:
    obtain_features(wanted(), Source(), ROOM, never)
    with open(wanted().path, "r+b") as file:
        file.truncate(100)
    source = Source()
    assert np.array_equal(obtain_features(wanted(), source, ROOM, never).rows, ALL)
    assert source.asked == [0]


def test_without_room_they_are_in_memory() -> None:
    for limit in (None, 100):
        found = obtain_features(wanted(), Source(), limit, never)
        assert not found.is_kept
        assert np.array_equal(found.rows, ALL)
    assert not wanted().path.exists()


def test_another_process_is_waited_for() -> None:
    fcntl = pytest.importorskip("fcntl")
    obtain_features(wanted(), Source(fails_at=99), ROOM, never)
    with open(wanted().path, "r+b") as file:
        module.write_done(file.fileno(), wanted(), 4)  # as if it were still computing
        fcntl.flock(file, fcntl.LOCK_EX)

        def finish() -> None:
            module.write_done(file.fileno(), wanted(), 10)
            fcntl.flock(file, fcntl.LOCK_UN)

        source = Source()
        found = obtain_features(wanted(), source, ROOM, finish)
    assert source.asked == []
    assert np.array_equal(found.rows, ALL)


def test_share_the_limit_with_decoded_images(tmp_path: Path) -> None:
    found = obtain_features(wanted(), Source(), ROOM, never)
    folder, size = wanted().path.parent, wanted().path.stat().st_size
    assert make_room(folder, 100, size + 100)
    assert wanted().path.exists()
    assert make_room(folder, 100, size + 99)
    assert not wanted().path.exists()
    assert np.array_equal(found.rows, ALL)  # what is mapped stays


def test_wrong_shapes_are_an_error() -> None:
    with pytest.raises(DataError, match=r"features of shape \(4, 2\), not \(4, 3\)"):
        obtain_features(wanted(), lambda first: iter([ALL[:4, :2]]), ROOM, never)
    with pytest.raises(DataError, match="gave 4 rows of features, not 10"):
        obtain_features(wanted(), lambda first: iter([ALL[:4]]), ROOM, never)


def test_features_that_would_fill_a_gpu_stay_where_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    views, device = [torch.zeros(2, 5), torch.zeros(2, 5)], torch.device("meta")  # 80 bytes
    monkeypatch.setattr(feature_loader, "ON_GPU_BYTES", 80)
    assert {view.device.type for view in feature_loader.place_views(views, device)} == {"meta"}
    monkeypatch.setattr(feature_loader, "ON_GPU_BYTES", 79)
    assert {view.device.type for view in feature_loader.place_views(views, device)} == {"cpu"}
