"""What is kept of the predictions of each epoch, and the table of the best one."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
import torch

from pochitrain.callback.epoch_predictions import EpochPredictions, smallest_type
from pochitrain.engine.checkpoint import CheckpointWriter, callback_states, load_checkpoint

CLASSES = [[0, 1, 1, 0], [0, 1, 1, 1], [1, 1, 0, 0]]
"""Predicted in three epochs."""
ACCURACIES = [50.0, 75.0, 50.0]


class Named:
    """Four images, of which only labels and names are asked for."""

    labels = (0, 1, 0, 1)

    def __len__(self) -> int:
        return 4

    def name(self, index: int) -> str:
        return f"{index}.png"


@pytest.fixture
def watch(make_state, add_epoch):
    """Runs epochs past a callback, and returns the state."""

    def run(callback: EpochPredictions, epochs=range(3), state=None):
        state = state or make_state()
        for epoch in epochs:
            state.predicted = torch.tensor(CLASSES[epoch])
            state.confidence = torch.tensor([0.5, 0.25, float("nan"), 1]) + epoch / 8
            add_epoch(state, val_accuracy=ACCURACIES[epoch])
            callback.on_epoch_end(state)
        callback.on_fit_end(state)
        return state

    return run


def test_table_of_the_best_epoch(tmp_path: Path, watch) -> None:
    callback = EpochPredictions(Named(), ["cat", "=dog"], tmp_path / "said.csv")
    watch(callback)
    assert (tmp_path / "said.csv").read_text("utf-8") == (
        "image_path,true,true_class,predicted,predicted_class,correct,confidence\n"
        "0.png,0,cat,0,cat,True,0.625000\n"
        "1.png,1,'=dog,1,'=dog,True,0.375000\n"
        "2.png,0,cat,1,'=dog,False,\n"
        "3.png,1,'=dog,1,'=dog,True,1.125000\n"
    )
    table = callback.table()
    assert table is not None and table.dtype == np.uint8
    assert table.tolist() == CLASSES


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_resumed_run_writes_the_same(tmp_path: Path, watch, stop: int) -> None:
    whole = EpochPredictions(Named(), ["cat", "dog"], tmp_path / "whole.csv")
    watch(whole)
    first = EpochPredictions(Named(), ["cat", "dog"])
    state = watch(first, range(stop))
    torch.save(callback_states([first]), tmp_path / "saved.pth")  # as a checkpoint holds it
    saved = torch.load(tmp_path / "saved.pth", weights_only=True)

    second = EpochPredictions(Named(), ["cat", "dog"], tmp_path / "resumed.csv")
    second.load_state_dict(saved["EpochPredictions"])
    watch(second, range(stop, 3), state)
    assert (tmp_path / "resumed.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert second.table().tolist() == CLASSES  # type: ignore[union-attr]
    assert second.state_dict()["epochs"] == whole.state_dict()["epochs"]


def test_too_many_epochs_leave_the_best_one(tmp_path: Path, watch) -> None:
    callback = EpochPredictions(Named(), ["cat", "dog"], tmp_path / "said.csv", max_bytes=11)
    watch(callback)  # 3 epochs of 4 bytes
    assert callback.table() is None
    assert callback.state_dict()["epochs"] is None
    rows = list(csv.DictReader(io.StringIO((tmp_path / "said.csv").read_text("utf-8"))))
    assert [int(row["predicted"]) for row in rows] == CLASSES[1]
    enough = EpochPredictions(Named(), ["cat", "dog"], max_bytes=12)
    watch(enough)
    assert enough.table() is not None


def test_a_run_of_an_earlier_version_goes_on(tmp_path: Path, watch) -> None:
    state = watch(EpochPredictions(Named(), ["cat", "dog"]), range(2))
    later = EpochPredictions(Named(), ["cat", "dog"], tmp_path / "said.csv")
    watch(later, [2], state)  # the best epoch was before
    assert later.table() is None
    assert not (tmp_path / "said.csv").exists()
    watch(later, [0, 1], state)  # as good again is no better
    assert not (tmp_path / "said.csv").exists()


def test_types() -> None:
    assert [smallest_type(n).name for n in (2, 256, 257, 2**15, 2**15 + 1)] == [
        "uint8",
        "uint8",
        "int16",
        "int16",
        "int32",
    ]


def test_in_a_training(tmp_path: Path, make_model, make_loader, make_trainer) -> None:
    loader = make_loader("val", shuffle=False)
    callback = EpochPredictions(loader.dataset, list("0123456789"), tmp_path / "said.csv")
    writer = CheckpointWriter(tmp_path / "models", {})
    trainer = make_trainer(make_model(), [callback], 3, val_loader=loader, writer=writer)
    state = trainer.fit()
    rows = list(csv.DictReader(io.StringIO((tmp_path / "said.csv").read_text("utf-8"))))
    confusion = torch.zeros(10, 10, dtype=torch.int64)
    for row in rows:
        confusion[int(row["true"]), int(row["predicted"])] += 1
    assert torch.equal(confusion, state.best.confusion)
    model = make_model()
    model.load_state_dict(load_checkpoint(tmp_path / "models" / "best.pth")["model"])
    images, labels, _ = next(iter(make_loader("val", shuffle=False, batch_size=50).epoch(0)))
    with torch.inference_mode():
        sure, predicted = model.eval()(images).softmax(1).max(1)
    assert [int(row["predicted"]) for row in rows] == predicted.tolist()
    assert [int(row["true"]) for row in rows] == labels.tolist()
    np.testing.assert_allclose([float(row["confidence"]) for row in rows], sure, atol=1e-5)
