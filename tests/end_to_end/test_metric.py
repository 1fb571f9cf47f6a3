"""What is monitored decides about a whole run: a metric that ships, one of the person's own, and a
number that a callback adds."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pochitrain.callback.metrics_csv import COLUMNS
from pochitrain.engine.checkpoint import load_checkpoint

Pochi = Callable[..., Any]
MINE = '''
import numpy as np

from pochitrain.engine.callback import Callback


class Errors:
    """Share of the images of `which` that are answered wrong."""

    higher_is_better = False
    unit = "%"

    def __init__(self, which):
        self.which = which

    def __call__(self, confusion):
        assert isinstance(confusion, np.ndarray) and confusion.dtype == np.int64
        row = confusion[self.which]
        return 100 * (row.sum() - row[self.which]) / max(1, row.sum())


def kappa(confusion, weight):
    total = confusion.sum()
    chance = (confusion.sum(0) * confusion.sum(1)).sum() / total**2
    return weight * (confusion.diagonal().sum() / total - chance) / max(1e-9, 1 - chance)


def three(confusion):
    raise KeyError("three")


class Nothing:
    pass


class Steps(Callback):
    """Adds numbers that are best in the second epoch."""

    def on_epoch_end(self, state):
        state.history[-1].extra["distance"] = {1: 5.0, 2: 1.0}.get(state.epoch, 3.0)
'''


@pytest.fixture
def train(
    pochi: Pochi,
    tmp_path: Path,
    make_folder: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Any]:
    """train("epochs=2", ...): a run on three classes, with the parts of MINE beside it."""
    make_folder(tmp_path / "photos", {"ant": 12, "bee": 9, "cat": 6}, side_px=20)
    (tmp_path / "my_part.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(tmp_path))

    def run(*more: str) -> Any:
        return pochi(
            "data=folder",
            "data.train_root=photos",
            "data.val_fraction=0.34",
            "data.num_workers=0",
            "transform=minimal",
            "model=torchvision",
            "model.name=tiny",
            "model._target_=fault_part.build_tiny",
            "allow_targets=[fault_part.*,my_part.*]",
            "batch_size=4",
            "epochs=4",
            "learning_rate=0.01",
            "device=cpu",
            *more,
        )

    return run


def only_run(folder: Path) -> Path:
    (run,) = (folder / "outputs").iterdir()
    return run


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "training_metrics.csv").open() as file:
        return list(csv.DictReader(file))


def summary_of(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "inference" / "inference_summary.json").read_text())
    return content


GUIDE_COLUMNS = list(COLUMNS)


def test_columns_of_a_plain_run(train: Callable[..., Any], tmp_path: Path) -> None:
    assert train("epochs=1").code == 0
    row = rows_of(only_run(tmp_path))[0]
    assert list(row) == [*GUIDE_COLUMNS, "val_balanced_accuracy", "val_macro_f1"]
    assert (only_run(tmp_path) / "graphs" / "metrics.png").is_file()


def test_a_run_without_validation_has_the_guides_columns(
    train: Callable[..., Any], tmp_path: Path
) -> None:
    assert train("epochs=1", "data.val_fraction=null", "ema_decay=0.5").code == 0
    assert list(rows_of(only_run(tmp_path))[0]) == GUIDE_COLUMNS
    assert not (only_run(tmp_path) / "graphs" / "metrics.png").exists()


@pytest.mark.slow
def test_a_metric_decides_and_inference_repeats_it(
    train: Callable[..., Any], pochi: Pochi, tmp_path: Path
) -> None:
    outcome = train(
        "monitor=val_macro_f1",
        "metrics.names=[val_mcc,val_weighted_f1,val_worst_class_recall,val_top2_accuracy]",
        "early_stopping.enabled=true",
        "early_stopping.patience=1",
        "early_stopping.min_delta=1e-6",
        "epochs=9",
        "ema_decay=0.5",
    )
    assert outcome.code == 0, outcome.err
    run = only_run(tmp_path)
    rows = rows_of(run)
    further = ["mcc", "weighted_f1", "worst_class_recall", "top2_accuracy", "macro_f1"]
    averaged = ["ema_val_loss", "ema_val_accuracy", *(f"ema_val_{name}" for name in further)]
    assert list(rows[0]) == [*GUIDE_COLUMNS, *(f"val_{name}" for name in further), *averaged]

    values = [float(row["val_macro_f1"]) for row in rows]
    best = values.index(max(values))
    # patience 1: the first epoch that is no better than the one before it is the last
    assert values[-1] <= values[-2]
    assert "val macro f1 has not improved by 1e-06 for 1 epochs, since" in outcome.out
    assert f"Best epoch {best + 1} of {len(rows)}: val macro f1 {max(values):.4f}\n" in outcome.out
    assert f"val_macro_f1 {values[0]:.4f}  " in outcome.out
    saved = load_checkpoint(run / "models" / "best.pth")
    assert (saved["epoch"], saved["monitor"]) == (best + 1, "val_macro_f1")
    status = json.loads((run / "status.json").read_text())
    assert (status["monitor"], status["unit"], status["best"]["value"]) == (
        "val_macro_f1",
        "",
        max(values),
    )
    averages = [float(row["ema_val_macro_f1"]) for row in rows]
    best_average = load_checkpoint(run / "models" / "ema.pth")["epoch"]
    assert best_average == averages.index(max(averages)) + 1

    inferred = pochi(str(run), "--allow", "fault_part.*", command="infer", prog="pochi")
    assert inferred.code == 0, inferred.err
    summary = summary_of(run)
    for name in ("accuracy", *further):
        assert summary[name] == float(rows[best][f"val_{name}"]), name
    assert f"weighted f1 {summary['weighted_f1']:.4f}, worst class recall" in inferred.out


@pytest.mark.slow
def test_a_metric_of_the_persons_own(
    train: Callable[..., Any], pochi: Pochi, tmp_path: Path
) -> None:
    outcome = train(
        "+metrics.custom={val_errors: {_target_: my_part.Errors, which: 1}, "
        "val_kappa: {_target_: my_part.kappa, _partial_: true, weight: 2.0}}",
        "monitor=val_errors",
        "metrics.names=[]",
    )
    assert outcome.code == 0, outcome.err
    run = only_run(tmp_path)
    rows = rows_of(run)
    assert list(rows[0]) == [*GUIDE_COLUMNS, "val_errors", "val_kappa"]
    values = [float(row["val_errors"]) for row in rows]
    best = values.index(min(values))
    assert load_checkpoint(run / "models" / "best.pth")["epoch"] == best + 1
    assert f"Best epoch {best + 1} of 4: val errors {min(values):.2f} %\n" in outcome.out

    inferred = pochi(
        str(run), "--allow", "fault_part.*", "--allow", "my_part.*", command="infer", prog="pochi"
    )
    assert inferred.code == 0, inferred.err
    assert summary_of(run)["errors"] == min(values)
    assert summary_of(run)["kappa"] == float(rows[best]["val_kappa"])
    again = pochi(str(run), "--allow", "fault_part.*", command="infer", prog="pochi")
    assert again.code == 0, again.err
    assert "Warning: val_errors is left out" in again.out
    assert "--allow 'my_part.Errors'" in again.out


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["+metrics.custom.val_k={_target_: my_part.three, _partial_: true}"],
            "metrics.custom.val_k fails on the confusion matrix of 3 right answers: KeyError",
        ),
        (
            ["+metrics.custom.val_k={_target_: my_part.Nothing}"],
            "metrics.custom.val_k must be a callable that takes a confusion matrix, got",
        ),
        (
            [
                "+metrics.custom.val_k={_target_: my_part.kappa, _partial_: true, weight: 1}",
                "monitor=val_k",
            ],
            "monitor_direction must be maximize or minimize with monitor=val_k, got null",
        ),
        (
            [
                "+metrics.custom.val_e={_target_: my_part.Errors, which: 1}",
                "monitor=val_e",
                "monitor_direction=maximize",
            ],
            "monitor_direction must be null or minimize with monitor=val_e, got 'maximize'.",
        ),
        (
            ["monitor=val_top3_accuracy"],
            "val_top3_accuracy must have a k below the number of classes (3), got 3",
        ),
    ],
    ids=str,
)
def test_a_metric_that_cannot_be_used(
    train: Callable[..., Any], tmp_path: Path, overrides: list[str], message: str
) -> None:
    outcome = train(*overrides)
    assert outcome.code == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "outputs").exists()


@pytest.mark.slow
def test_a_number_that_a_callback_adds(train: Callable[..., Any], tmp_path: Path) -> None:
    outcome = train(
        "+callbacks.steps._target_=my_part.Steps",
        "monitor=distance",
        "monitor_direction=minimize",
        "early_stopping.enabled=true",
        "early_stopping.patience=2",
        "early_stopping.min_delta=0",
        "epochs=9",
    )
    assert outcome.code == 0, outcome.err
    run = only_run(tmp_path)
    assert [row["distance"] for row in rows_of(run)] == ["5.0", "1.0", "3.0", "3.0"]
    assert load_checkpoint(run / "models" / "best.pth")["epoch"] == 2
    assert "Best epoch 2 of 4: distance 1.0000" in outcome.out
    lines = [line for line in outcome.out.splitlines() if line.startswith("epoch ")]
    assert [line.endswith("best") for line in lines] == [True, True, False, False]


def test_a_number_that_never_comes(train: Callable[..., Any], tmp_path: Path) -> None:
    outcome = train(
        "+callbacks.steps._target_=my_part.Steps", "monitor=gap", "monitor_direction=minimize"
    )
    assert outcome.code == 2
    assert (
        "monitor must be a column of this run, got 'gap', which nothing has added by the end of "
        "epoch 1. Columns: distance, train_accuracy, train_loss, val_accuracy, "
        "val_balanced_accuracy, val_loss, val_macro_f1." in outcome.err
    )
    assert "Traceback" not in outcome.err
    assert json.loads((only_run(tmp_path) / "status.json").read_text())["status"] == "failed"
