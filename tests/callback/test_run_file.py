"""The tables that a run leaves: metrics, confusion matrix, TensorBoard events."""

import csv
from pathlib import Path

import pytest
import torch

from pochitrain.callback.confusion_csv import ConfusionMatrixCSV, format_confusion
from pochitrain.callback.metrics_csv import MetricsCSV
from pochitrain.callback.tensorboard import TensorBoard
from pochitrain.engine.state import EpochRecord
from pochitrain.report.confusion_matrix import read_confusion


def test_metrics_csv_holds_averaged_weights_and_layer_rates(tmp_path, make_state):
    state = make_state()
    for epoch in (1, 2):
        extra = {"ema_val_loss": 0.5, "ema_val_accuracy": 80.0}
        rates, metrics = {"conv1": 0.01, "fc": 0.2}, {"val_mcc": 0.5}
        record = EpochRecord(epoch, 0.1, 1.5, 50.0, 0.7, 75.0, rates, extra, metrics)
        state.record(record)
    MetricsCSV(tmp_path / "metrics.csv").on_epoch_end(state)
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.reader(file))
    assert ",".join(rows[0]) == (
        "epoch,learning_rate,train_loss,train_accuracy,val_loss,val_accuracy,"
        "val_mcc,ema_val_loss,ema_val_accuracy,lr_conv1,lr_fc"
    )
    assert rows[2] == [
        "2",
        "0.1",
        "1.5",
        "50.0",
        "0.7",
        "75.0",
        "0.5",
        "0.5",
        "80.0",
        "0.01",
        "0.2",
    ]


def test_a_callback_may_add_a_number_in_any_epoch(tmp_path, make_state, add_epoch):
    state = make_state()
    for extra in ({}, {"gap": 2.5}, {}):
        add_epoch(state, extra=extra)
        MetricsCSV(tmp_path / "metrics.csv").on_epoch_end(state)
    with (tmp_path / "metrics.csv").open() as file:
        assert [row["gap"] for row in csv.DictReader(file)] == ["", "2.5", ""]


def test_a_metric_may_come_with_a_later_part_of_the_run(tmp_path, make_state, add_epoch):
    state = make_state()
    for metrics in ({}, {"val_mcc": 0.5}):
        add_epoch(state, metrics=metrics, extra={"gap": 1.0})
    MetricsCSV(tmp_path / "metrics.csv").on_epoch_end(state)
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[-2:] == ["val_mcc", "gap"]
    assert [row["val_mcc"] for row in rows] == ["", "0.5"]


def test_confusion_matrix_is_that_of_the_best_epoch(tmp_path, make_state, add_epoch):
    state, path = make_state(), tmp_path / "confusion.csv"
    names = ['a "quoted", name', "猫"]
    writer = ConfusionMatrixCSV(path, names)
    for accuracy, cells in ((50, [[1, 1], [1, 1]]), (75, [[2, 0], [1, 1]]), (50, [[0, 2], [0, 2]])):
        state.confusion = torch.tensor(cells)
        add_epoch(state, val_accuracy=accuracy)
        writer.on_epoch_end(state)
    found_names, counts = read_confusion(path)
    assert found_names == names
    assert counts.tolist() == [[2, 0], [1, 1]]
    path.unlink()  # a resumed run writes it again from the checkpoint
    ConfusionMatrixCSV(path, names).on_fit_start(state)
    assert read_confusion(path)[1].tolist() == [[2, 0], [1, 1]]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_scalars(tmp_path, make_state, add_epoch):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    state = make_state()
    board = TensorBoard(tmp_path / "events")
    board.on_fit_start(state)
    for accuracy in (50.0, 60.0):
        rates, metrics = {"fc": 0.25}, {"val_mcc": 0.75}
        add_epoch(state, val_accuracy=accuracy, layer_rates=rates, metrics=metrics)
        board.on_epoch_end(state)
    board.on_fit_end(state)
    events = accumulator.EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    points = [(event.step, event.value) for event in events.Scalars("accuracy/val")]
    assert points == [(1, 50.0), (2, 60.0)]
    assert events.Scalars("learning_rate/fc")[0].value == 0.25
    assert events.Scalars("mcc/val")[0].value == 0.75


def test_class_names_that_are_formulas_come_back_from_the_confusion_matrix(tmp_path: Path) -> None:
    names = ["=1+1", "'=1", "a\rb", "-5"]
    file = tmp_path / "confusion_matrix.csv"
    file.write_text(format_confusion(torch.eye(4, dtype=torch.int64), names), "utf-8", newline="")
    assert "\n'=1+1,1,0,0,0\n" in file.read_text("utf-8")
    found, counts = read_confusion(file)
    assert found == names
    assert counts.tolist() == torch.eye(4).tolist()
