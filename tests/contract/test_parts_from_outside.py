"""A part of every kind, from a folder outside the package, goes through every command: train,
resume, migrate, search, infer, export. Each step looks for what only those parts can leave."""

import csv
import json
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pochitrain.engine.checkpoint import load_checkpoint

MODULE = '''
import os
import signal

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from pochitrain.data.dataset import DataSplits
from pochitrain.engine.callback import Callback


class SignDescent(Optimizer):
    """Steps of one size against the sign of the averaged gradient."""

    def __init__(self, params, lr, memory):
        super().__init__(params, {"lr": lr, "memory": memory})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                average = self.state[parameter].setdefault("average", torch.zeros_like(parameter))
                average.lerp_(parameter.grad, 1 - group["memory"])
                parameter.sub_(average.sign(), alpha=group["lr"])


class Harmonic(LRScheduler):
    """rate / (1 + epoch / half_life)"""

    def __init__(self, optimizer, half_life):
        self.half_life = half_life
        super().__init__(optimizer)

    def get_lr(self):
        return [rate / (1 + self.last_epoch / self.half_life) for rate in self.base_lrs]


class Margin(nn.Module):
    """Cross entropy where the right class scores `margin` less."""

    def __init__(self, num_classes, margin):
        super().__init__()
        self.num_classes, self.margin = num_classes, margin

    def forward(self, logits, labels):
        right = nn.functional.one_hot(labels, self.num_classes)
        return nn.functional.cross_entropy(logits - self.margin * right, labels)


class Distance:
    """How far answers are from the truth: mean difference of the class indices to a power."""

    higher_is_better = False

    def __init__(self, power):
        self.power = power

    def __call__(self, confusion):
        index = np.arange(len(confusion))
        return (confusion * np.abs(index[:, None] - index) ** self.power).sum() / confusion.sum()


class Fall(Callback):
    """Adds how far the training loss has fallen since the first epoch, in units of `unit`.

    STOP_AFTER=n stops the program in epoch n as Ctrl+C does.
    """

    def __init__(self, unit):
        self.unit, self.first = unit, None

    def on_epoch_end(self, state):
        record = state.history[-1]
        self.first = record.train_loss if self.first is None else self.first
        record.extra["fall"] = (self.first - record.train_loss) / self.unit
        if os.environ.get("STOP_AFTER") == str(state.epoch):
            os.kill(os.getpid(), signal.SIGINT)

    def state_dict(self):
        return {"first": self.first}

    def load_state_dict(self, saved):
        self.first = saved["first"]


class Tiny(nn.Module):
    def __init__(self, num_classes, width):
        super().__init__()
        self.eye = nn.Conv2d(3, width, 3, stride=2)
        self.mouth = nn.Linear(width, num_classes)

    def forward(self, images):
        return self.mouth(self.eye(images).relu().mean(dim=(2, 3)))


class Tints:
    """Noisy images, each class with more of another colour."""

    in_memory = True

    def __init__(self, first, count, side_px):
        self.first, self.side_px = first, side_px
        self.labels = [i % 3 for i in range(count)]

    def __len__(self):
        return len(self.labels)

    def load(self, index):
        generator = np.random.default_rng(self.first + index)
        pixels = generator.integers(0, 180, (self.side_px, self.side_px, 3), dtype=np.uint8)
        pixels[..., self.labels[index]] += 20
        return Image.fromarray(pixels)

    def size(self, index):
        return self.side_px, self.side_px

    def name(self, index):
        return f"tint {self.first + index}"


def open_tints(count, side_px):
    train, val = Tints(0, count, side_px), Tints(1000, 12, side_px)
    return DataSplits(train, val, ["red", "green", "blue"], [])
'''

OPTIONS = {
    "optimizer": """
        _target_: outside.SignDescent
        _partial_: true
        lr: ${learning_rate}
        memory: 0.5
    """,
    "scheduler": """
        _target_: outside.Harmonic
        _partial_: true
        half_life: 2
    """,
    "loss": """
        _target_: outside.Margin
        margin: 8.0
    """,
    "metrics": """
        defaults: [default, _self_]
        custom:
          val_distance: {_target_: outside.Distance, power: 2}
    """,
    "model": """
        _target_: outside.Tiny
        width: 8
    """,
    "data": """
        _target_: outside.open_tints
        count: 24
        side_px: 16
    """,
    "optuna": """
        defaults: [random, _self_]
        n_trials: 2
        optuna_epochs: 2
        search_space:
          learning_rate: null
          batch_size: null
          optimizer: null
          optimizer.memory: {type: float, low: 0.1, high: 0.9}
          scheduler.half_life: {type: int, low: 3, high: 9}
    """,
    "experiment": """
        # @package _global_
        callbacks:
          fall: {_target_: outside.Fall, unit: 0.5}
        monitor: val_distance
        epochs: 4
        batch_size: 6
        learning_rate: 0.1
        device: cpu
    """,
}
"""Group -> its option `mine`."""

LEGACY = """
device = "cpu"
epochs = 4
batch_size = 6
learning_rate = 0.1
work_dir = "from_old"
overrides = {
    "model": "mine",
    "data": "mine",
    "transform": "minimal",
    "optimizer": "mine",
    "scheduler": "mine",
    "loss": "mine",
    "metrics": "mine",
    "callbacks": {"fall": {"_target_": "outside.Fall", "unit": 0.5}},
    "monitor": "val_distance",
}
"""

CHOICES = [f"{group}=mine" for group in OPTIONS if group != "optuna"]
ALLOWED = ["--config-dir=conf", "allow_targets=[outside.*]"]
TRAIN = [*ALLOWED, *CHOICES, "transform=minimal"]


@pytest.fixture
def run(
    pochi: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """run("train", ...): `pochi train ...` in a folder with those parts; what it printed."""
    (tmp_path / "outside.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    for group, text in OPTIONS.items():
        folder = tmp_path / "conf" / group
        folder.mkdir(parents=True)
        (folder / "mine.yaml").write_text(textwrap.dedent(text).lstrip())

    def run(command: str, *argv: str, code: int = 0) -> str:
        outcome = pochi(*argv, command=command, prog="pochi")
        assert outcome.code == code, outcome.out + outcome.err
        text: str = outcome.out
        return text

    return run


def only_run(parent: Path) -> Path:
    (found,) = parent.iterdir()
    return found


def rows_of(folder: Path) -> list[dict[str, float]]:
    with (folder / "training_metrics.csv").open() as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def load_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_part_of_every_kind(
    run: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = run("train", *TRAIN)
    whole = only_run(tmp_path / "outputs")
    check_training(whole, text)

    monkeypatch.setenv("STOP_AFTER", "2")
    run("train", *TRAIN, "work_dir=stopped", code=130)
    monkeypatch.delenv("STOP_AFTER")
    stopped = only_run(tmp_path / "stopped")
    assert len(rows_of(stopped)) == 2
    run("train", f"resume={stopped}", "allow_targets=[outside.*]")
    require_same_table(stopped, whole)

    (tmp_path / "old.py").write_text(LEGACY)
    run("migrate", "old.py", "--output", "conf/experiment/new.yaml")
    run("train", *ALLOWED, "experiment=new")
    require_same_table(only_run(tmp_path / "from_old"), whole)

    run("optimize", *TRAIN, "optuna=mine", "monitor_direction=minimize", "work_dir=search")
    results = tmp_path / "search" / "optuna_results"
    best_trial = check_search(results)
    written = str(results / "optimized_config.py")
    run("train", "--config", written, *ALLOWED, "epochs=2", "work_dir=from_best")
    require_same_table(only_run(tmp_path / "from_best"), best_trial)

    run("infer", str(whole), "--allow", "outside.*")
    summary = load_json(whole / "inference" / "inference_summary.json")
    assert summary["distance"] == min(row["val_distance"] for row in rows_of(whole))

    run("export", str(whole), "--allow", "outside.*")
    proof = load_json(whole / "parity.json")
    assert (proof["proven"], proof["images"]) == (True, 12)


def check_training(folder: Path, text: str) -> None:
    """Each part has left something that no part of ours would."""
    assert "data      24 training, 12 validation pictures" in text
    assert "3: red 8/4, green 8/4, blue 8/4" in text
    rates = [float(rate) for rate in re.findall(r"^epoch .*  lr (\S+)", text, re.MULTILINE)]
    assert rates == pytest.approx([0.1, 0.1 / 1.5, 0.1 / 2, 0.1 / 2.5], rel=1e-2)

    rows = rows_of(folder)
    first = rows[0]["train_loss"]
    assert first > 8  # the margin; plain cross entropy starts near ln 3
    assert [row["fall"] for row in rows] == [(first - row["train_loss"]) / 0.5 for row in rows]
    distances = [row["val_distance"] for row in rows]
    assert max(distances) > min(distances)

    saved = load_checkpoint(folder / "models" / "best.pth")
    assert saved["monitor"] == "val_distance"
    assert saved["epoch"] == distances.index(min(distances)) + 1
    assert saved["model"]["eye.weight"].shape == (8, 3, 3, 3)
    assert saved["optimizer"]["param_groups"][0]["memory"] == 0.5
    assert set(saved["optimizer"]["state"][0]) == {"average"}
    assert saved["scheduler"]["half_life"] == 2


def check_search(folder: Path) -> Path:
    """Settings of those parts were searched, for the metric from outside; the best trial."""
    history = load_json(folder / "trials_history.json")
    assert [row["state"] for row in history] == ["COMPLETE", "COMPLETE"]
    trials = [folder / f"trial_{row['number']:04d}" for row in history]
    for row, trial in zip(history, trials, strict=True):
        saved = load_checkpoint(trial / "models" / "last.pth")
        assert row["params"] == {
            "optimizer.memory": saved["optimizer"]["param_groups"][0]["memory"],
            "scheduler.half_life": saved["scheduler"]["half_life"],
        }
        assert row["value"] == min(epoch["val_distance"] for epoch in rows_of(trial))
    assert load_json(folder / "study_statistics.json")["direction"] == "minimize"
    values = [row["value"] for row in history]
    best = values.index(min(values))
    found = load_json(folder / "best_params.json")
    assert (found["best_value"], found["best_params"]) == (values[best], history[best]["params"])
    return trials[best]


def require_same_table(folder: Path, other: Path) -> None:
    """Every number of every epoch, bit by bit."""
    name = "training_metrics.csv"
    assert (folder / name).read_bytes() == (other / name).read_bytes()
