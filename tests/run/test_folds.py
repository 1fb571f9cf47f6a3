"""The summary of folds, from runs that are written without training."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from omegaconf import DictConfig

import pochitrain.run.train
from pochitrain.config.component import Components
from pochitrain.data.dataset import require_splits
from pochitrain.run.directory import open_run_directory, save_config
from pochitrain.run.judge import Predictions, read_predictions, write_predictions
from pochitrain.run.status import write_status
from tests.sweep.conftest import clean_hydra

__all__ = ["clean_hydra"]

FOLDS = ["--multirun", "data.num_folds=3"]


def write_run(cfg: DictConfig, warnings: list[str]) -> float:
    """The files of a run, wrong where the index of the image ends in the number of the fold."""
    data = require_splits(Components(cfg).build_data())
    folder = open_run_directory(cfg)
    save_config(folder, cfg)
    assert data.val is not None
    labels = np.asarray(data.val.labels, np.int64)
    last = [int(data.val.name(i)[-2]) for i in range(len(labels))]
    guessed = np.where(np.array(last) == cfg.data.fold, (labels + 1) % 10, labels)
    chances = np.full((len(labels), 10), 0.01)
    chances[np.arange(len(labels)), guessed] = 0.91
    found = Predictions(data.class_names, labels, chances)
    write_predictions(folder / "val_predictions.csv", found, data.val, cfg.data.fold)
    monitor = SimpleNamespace(metric="val_accuracy", unit="%")
    best = SimpleNamespace(epoch=2, value=90.0)
    state: Any = SimpleNamespace(epoch=2, batch=0, epochs=2, best=best, monitor=monitor)
    state.stop_reason = None
    write_status(folder, "finished", state)
    return 90.0


@pytest.fixture(autouse=True)
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pochitrain.run.train, "train", write_run)


def summary(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "folds.json").read_text(encoding="utf-8"))
    return content


def test_one_summary_for_each_setting(pochi: Callable, tmp_path: Path) -> None:
    words = ["data.fold=range(0,3)", "learning_rate=0.1,0.2", "metrics.export=false"]
    outcome = pochi(*FOLDS, *words)
    assert outcome.code == 0, outcome.err
    folders = sorted(tmp_path.glob("outputs/folds*"))
    assert [folder.name for folder in folders] == ["folds", "folds_002"]
    for folder, rate in zip(folders, ("0.1", "0.2"), strict=True):
        content = summary(folder)
        assert f"learning_rate={rate}" in content["overrides"]
        assert content["complete"] and content["images"] == 1797
        rows = read_predictions(folder / "out_of_fold.csv")
        wrong = int((rows.probabilities.argmax(axis=1) != rows.labels).sum())
        assert content["pooled"]["accuracy"] == 100 * (1797 - wrong) / 1797
        rates = [(tmp_path / fold["run"] / "config.yaml").read_text() for fold in content["folds"]]
        assert all(f"\nlearning_rate: {rate}\n" in f"\n{text}" for text in rates)


def test_some_of_the_folds_say_so(pochi: Callable, tmp_path: Path) -> None:
    outcome = pochi(*FOLDS, "data.fold=2,0,2")  # a fold that is typed twice counts once
    assert outcome.code == 0, outcome.err
    assert "2 folds (2 of 3: not every picture was predicted), 1,198 pictures" in outcome.out
    content = summary(tmp_path / "outputs" / "folds")
    assert not content["complete"]
    assert [fold["fold"] for fold in content["folds"]] == [0, 2]


def test_runs_of_their_own_directories(pochi: Callable, tmp_path: Path) -> None:
    place = ["hydra.sweep.dir=cv", "hydra.sweep.subdir=job${hydra.job.num}"]
    outcome = pochi(*FOLDS, "data.fold=range(0,3)", *place)
    assert outcome.code == 0, outcome.err
    runs = [fold["run"] for fold in summary(tmp_path / "cv" / "folds")["folds"]]
    assert runs == ["cv/job0", "cv/job1", "cv/job2"]


def test_one_fold_alone_has_no_summary(pochi: Callable, tmp_path: Path) -> None:
    assert pochi(*FOLDS, "data.fold=1", "seed=1,2").code == 0
    assert not list(tmp_path.glob("outputs/folds*"))


def test_a_run_that_is_not_there(
    pochi: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_two(cfg: DictConfig, warnings: list[str]) -> float:
        return write_run(cfg, warnings) if cfg.data.fold < 2 else 0.0

    monkeypatch.setattr(pochitrain.run.train, "train", write_two)
    outcome = pochi(*FOLDS, "data.fold=range(0,3)")
    assert outcome.code == 1
    assert outcome.err.startswith("There is no summary of the folds: no finished run of fold 2 ")
    assert not list(tmp_path.glob("outputs/folds*"))
