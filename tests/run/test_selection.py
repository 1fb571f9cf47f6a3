"""What a run says about the choice of its best epoch."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from pochitrain.callback.epoch_predictions import EpochPredictions
from pochitrain.data.dataset import DataSplits
from pochitrain.engine.state import Best, Monitor
from pochitrain.metric.metric import Metric
from pochitrain.metric.selection import estimate_optimism
from pochitrain.metric.table import METRICS, find_metric
from pochitrain.run.callback import build_predictions
from pochitrain.run.selection import describe_selection, judge_selection


class Labelled:
    """Sixty images of three classes."""

    def __init__(self) -> None:
        self.labels = np.arange(60) % 3

    def __len__(self) -> int:
        return 60

    def name(self, index: int) -> str:
        return str(index)


def train(monitor: str, known: Metric | None = None) -> tuple[Any, EpochPredictions]:
    """The state after eight epochs of random predictions, by `monitor`."""
    kept = EpochPredictions(Labelled(), ["a", "b", "c"])  # type: ignore[arg-type]
    metric = known or find_metric(monitor)
    chooser = Monitor(monitor, metric)
    generator = np.random.default_rng(0)
    state: Any = SimpleNamespace(monitor=chooser, best=None, epoch=0)
    labels = kept.dataset.labels
    for _ in range(8):
        state.epoch += 1
        said = np.where(generator.random(60) < 0.7, labels, generator.integers(0, 3, 60))
        confusion = np.zeros((3, 3), np.int64)
        np.add.at(confusion, (labels, said), 1)
        value = 0.5
        if metric is not None and metric.compute is not None and metric.top_k is None:
            value = metric.compute(SimpleNamespace(  # type: ignore[arg-type]
                confusion=confusion, accuracy=100 * np.mean(said == labels), loss=0.5
            ))  # fmt: skip
        better = chooser.improves(value, None if state.best is None else state.best.value)
        if better:
            state.best = Best(state.epoch, value, torch.from_numpy(confusion))
        state.is_best, state.predicted = better, torch.from_numpy(said)
        state.confidence = torch.ones(60)
        kept.on_epoch_end(state)
    return state, kept


def test_the_summary_names_what_other_pictures_would_show() -> None:
    state, kept = train("val_accuracy")
    found = judge_selection(state, [kept], [])
    assert found is not None
    table = kept.table()
    assert table is not None
    labels = np.asarray(kept.dataset.labels)
    expected = estimate_optimism(labels, table, METRICS["val_accuracy"], 3)
    assert expected is not None
    assert found.optimism == expected.amount > 1
    assert found.untouched == state.best.value - found.optimism
    assert describe_selection(state, found) == (
        "best of 8 epochs, chosen on these pictures: untouched ones would show about "
        f"{found.untouched:.2f} %"
    )


def test_a_metric_of_ones_own_that_is_to_fall() -> None:
    def cost(evaluation: Any) -> float:
        wrong = evaluation.confusion.sum() - evaluation.confusion.diagonal().sum()
        return float(wrong / evaluation.confusion.sum())

    metric = Metric("val_cost", cost, None)
    state, kept = train("val_cost", Metric("val_cost", cost, higher_is_better=False))
    found = judge_selection(state, [kept], [metric])
    assert found is not None
    assert found.untouched > found.value == state.best.value
    text = describe_selection(state, found)
    assert f"by val cost {found.value:.4f}: untouched ones would show about" in text


def test_pictures_that_are_in_training_too_are_left_out() -> None:
    """Otherwise the summary would promise what only they show."""
    state, kept = train("val_accuracy")
    table = kept.table()
    assert table is not None
    labels, best = np.asarray(kept.dataset.labels), table[state.best.epoch - 1]
    leaked = (best == labels) & (np.arange(60) < 30)
    assert 10 < leaked.sum() < 30
    found = judge_selection(state, [kept], [], torch.from_numpy(leaked))
    expected = estimate_optimism(labels[~leaked], table[:, ~leaked], METRICS["val_accuracy"], 3)
    assert found is not None and expected is not None
    without = 100 * np.mean((best == labels)[~leaked])
    assert found.images == 60 - leaked.sum()
    assert found.value == state.best.value > found.value_without_leaks
    assert found.value_without_leaks == pytest.approx(without)
    assert found.untouched == pytest.approx(without - expected.amount)
    assert f"would show about {found.untouched:.2f} %" in describe_selection(state, found)


@pytest.mark.parametrize("monitor", ["val_loss", "val_top2_accuracy", "ema_val_accuracy"])
def test_silent_where_classes_are_not_enough(monitor: str) -> None:
    state, kept = train(monitor)
    assert judge_selection(state, [kept], list(METRICS.values())) is None
    text = describe_selection(state, None)
    assert text == "best of 8 epochs, chosen on these pictures: a little too good"


def test_silent_without_the_predictions() -> None:
    state, kept = train("val_accuracy")
    assert judge_selection(state, [], []) is None
    kept.epochs = None
    assert judge_selection(state, [kept], []) is None
    state.epoch = 1
    assert describe_selection(state, None) == ""


@pytest.mark.slow
def test_files_of_a_run(
    pochi: Callable[..., Any], make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    make_folder(tmp_path / "photos", {"ant": 30, "bee": 30})
    words = ["data=folder", "data.train_root=photos", "data.val_fraction=0.5", "epochs=2",
             "transform.size=32", "model=torchvision", "model.name=shufflenet_v2_x0_5",
             "batch_size=15", "device=cpu"]  # fmt: skip
    ended = pochi(*words)
    assert ended.code == 0, ended.err
    (run,) = (tmp_path / "outputs").iterdir()
    content = json.loads((run / "optimism.json").read_text("utf-8"))
    assert content["epochs"] == 2
    assert content["images"] == 30
    status = json.loads((run / "status.json").read_text("utf-8"))
    assert content["value"] == status["best"]["value"]
    assert content["untouched"] == content["value"] - content["optimism"]
    assert "untouched ones would show about" in ended.out
    assert "optimism.json" in ended.out and "val_predictions.csv" in ended.out


@pytest.mark.parametrize(
    ("node", "name"),
    [
        (
            {"data": {}, "metrics": {"export": True}, "optuna": {"enabled": False}},
            "val_predictions.csv",
        ),
        ({"data": {}, "metrics": {"export": False}, "optuna": {"enabled": False}}, None),
        (
            {"data": {"num_folds": 5}, "metrics": {"export": True}, "optuna": {"enabled": False}},
            None,
        ),
        ({"data": {}, "metrics": {"export": True}, "optuna": {"enabled": True}}, "no callback"),
    ],
)
def test_who_writes_the_predictions(node: Any, name: str | None) -> None:
    """A fold has a fuller file of its own, and a trial of a search none."""
    images: Any = Labelled()
    data = DataSplits(images, images, ["a", "b", "c"], [])
    found = build_predictions(OmegaConf.create(node), Path("run"), data)
    paths = [each.path for each in found]
    assert paths == (
        [] if name == "no callback" else [None if name is None else Path("run") / name]
    )
