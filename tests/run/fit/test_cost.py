"""What the work on a picture costs: measured times, and what they mean on a machine."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pochitrain.data.dataset import DataSplits
from pochitrain.data.decode import UnreadableImageError
from pochitrain.error import ConfigError
from pochitrain.run.fit import cost, measure
from pochitrain.run.fit.measure import Loading
from pochitrain.run.fit.plan import Work


def test_measured_times_are_per_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.2, 0.4, 0.6])  # start, after one step, after two, at the end
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(clock))
    calls: list[int] = []
    seconds = measure.time_per_picture(lambda: calls.append(1), torch.device("cpu"))
    assert len(calls) == 3  # the first one to warm up
    assert seconds == 0.6 / 2 / measure.BATCH


def test_sizes_that_a_model_does_not_take_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def time_forward(model: Any, px: int, precision: Any) -> float:
        if px < limit:
            raise AssertionError("wrong size")
        return 0.5

    monkeypatch.setattr(cost, "build_model", lambda *_: None)
    monkeypatch.setattr(cost, "Components", lambda cfg: cfg)
    monkeypatch.setattr(cost, "time_forward", time_forward)
    precision: Any = SimpleNamespace(device=torch.device("cpu"))
    data: Any = None
    measurement = cost.CostMeasurement(lambda words: {}, [], data, precision, None)  # type: ignore[arg-type]
    limit = 128
    assert measurement.forward([], Work(10, 2, 70)) == {128: 0.5}
    limit = 500
    with pytest.raises(ConfigError, match=r"^model must take pictures of 64 or 96 or 128 px here"):
        measurement.forward([], Work(10, 2, 70))


def test_reading_and_the_rest_are_timed_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def take(seconds: float, value: Any = None) -> Any:
        clock[0] += seconds
        return value

    def read(index: int) -> Any:
        seen.append(index)
        if index == 1:
            take(50.0)  # time that belongs to no picture
            raise UnreadableImageError("truncated")
        return take(0.25)

    seen: list[int] = []
    monkeypatch.setattr(measure.time, "perf_counter", lambda: clock[0])
    found = measure.time_loading(3, read, lambda image: take(0.25), lambda image: take(0.125))
    assert sorted(seen) == [0, 1, 2]
    assert found == Loading(0.5, 0.125)
    assert found.total_s == 0.625
    seen.clear()
    measure.time_loading(1000, lambda index: seen.append(index), lambda _: take(1.0), take_nothing)
    assert len(seen) == 2  # large pictures: after 1.5 s that is enough
    assert max(seen) > 100  # from the whole set, not from the first class


def take_nothing(image: object) -> None:
    """A step that takes no time."""


def loader_costs(
    monkeypatch: pytest.MonkeyPatch, typed: int | None, cores: int, kind: str = "cpu"
) -> cost.CostMeasurement:
    """Costs on a machine of `cores` cores, of pictures that are files."""
    monkeypatch.setattr(cost, "num_cores", lambda: cores)
    monkeypatch.setattr("pochitrain.data.loader.num_cores", lambda: cores)
    monkeypatch.setattr("pochitrain.data.worker.num_cores", lambda: cores)
    cfg: Any = SimpleNamespace(data={"num_workers": typed})
    dataset: Any = SimpleNamespace(in_memory=False)
    data = DataSplits(dataset, None, [], [])
    precision: Any = SimpleNamespace(device=torch.device(kind))
    return cost.CostMeasurement(lambda words: cfg, [], data, precision, None)


@pytest.mark.parametrize(
    ("typed", "cores", "load_s", "words", "both_s"),
    [
        (None, 2, 0.5, [], 0.5 + 1.0),  # in turns
        # Two processes share both cores with the model.
        (None, 2, 4.0, ["data.num_workers=2"], 4.0 / 2 + 1.0),
        (None, 1, 4.0, [], 4.0 + 1.0),
        (0, 2, 4.0, [], 4.0 + 1.0),
        (None, 8, 8.0, [], 8.0 / 4),  # the default of four processes cannot load any faster
        (None, 8, 4.0, [], 4.0 / 8 + 1.0),
    ],
)
def test_loader_processes_where_loading_takes_longer_than_computing(
    monkeypatch: pytest.MonkeyPatch,
    typed: int | None,
    cores: int,
    load_s: float,
    words: list[str],
    both_s: float,
) -> None:
    costs = loader_costs(monkeypatch, typed, cores)
    costs.choose_num_workers(load_s, 1.0)
    assert costs.words == words
    assert costs.add(load_s, {64: 1.0}) == {64: both_s}


def test_a_gpu_computes_while_pictures_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = loader_costs(monkeypatch, None, 8, "cuda")
    costs.choose_num_workers(14.0, 1.0)
    assert costs.add(14.0, {64: 1.0, 224: 3.0}) == {64: 14.0 / 7, 224: 3.0}


def test_training_from_scratch_is_measured_with_the_batches_that_it_will_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[str] = []

    def compose_words(words: Any) -> Any:
        seen.extend(words)
        return SimpleNamespace(data={"num_workers": 0})

    costs = loader_costs(monkeypatch, 0, 2)
    costs.compose = compose_words
    costs.backbone = None
    monkeypatch.setattr(cost, "build_parts", lambda *parts: None)
    monkeypatch.setattr(cost, "time_training", lambda *parts: 0.125)
    monkeypatch.setattr(costs, "loading", lambda *parts: Loading(0.0, 0.0))
    assert costs.costs(Work(10, 2, 28)).scratch_s == {32: 0.125}
    assert "batch_size=32" in seen
