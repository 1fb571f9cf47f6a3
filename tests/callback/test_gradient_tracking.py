"""Gradient norms against a slow reference that keeps every one of them."""

import statistics

import numpy as np
import pandas as pd
import pytest
import torch

from pochitrain.callback.gradient_tracking import GradientTracking
from pochitrain.engine.callback import Callback
from pochitrain.engine.checkpoint import CheckpointWriter, load_checkpoint, restore_callback_states
from pochitrain.error import ConfigError
from pochitrain.model.block import find_blocks

AGGREGATE = {
    "median": np.median,
    "mean": np.mean,
    "max": np.max,
    "rms": lambda values: np.sqrt(np.mean(np.square(values))),
}


class Reference(Callback):
    """Every norm of every step, in plain Python."""

    def __init__(self):
        self.norms = {}

    def on_gradients(self, state):
        for name, parameter in state.model.named_parameters():
            squares = [value * value for value in parameter.grad.double().flatten().tolist()]
            key = (state.epoch + 1, name)
            self.norms.setdefault(key, []).append(sum(squares) ** 0.5)


def make_tracker(path, model, **options):
    settings = {
        "record_frequency": 1,
        "exclude_patterns": [r"fc\.", r"\.bias"],
        "group_by_block": True,
        "aggregation_method": "median",
        **options,
    }
    blocks = find_blocks(name for name, _ in model.named_parameters())
    return GradientTracking(path, model, blocks, **settings)


@pytest.mark.parametrize("method", AGGREGATE)
def test_means_over_all_batches_by_block(tmp_path, make_model, make_trainer, method):
    model, reference = make_model(), Reference()
    tracker = make_tracker(tmp_path / "trace.csv", model, aggregation_method=method)
    # clipping to almost nothing: norms are measured before it
    make_trainer(model, [reference, tracker], gradient_clip_norm=1e-3).fit()
    table = pd.read_csv(tmp_path / "trace.csv").set_index("epoch")
    blocks = {
        "conv1": ["conv1.weight"],
        "bn1": ["bn1.weight"],
        "layer1": ["layer1.0.weight", "layer1.1.weight"],
    }
    assert list(table.index) == [1, 2]
    assert list(table.columns) == list(blocks)
    assert len(reference.norms[1, "conv1.weight"]) == 4  # 50 images in batches of 16
    for epoch in (1, 2):
        for block, names in blocks.items():
            means = [statistics.fmean(reference.norms[epoch, name]) for name in names]
            assert table.loc[epoch, block] == pytest.approx(AGGREGATE[method](means), rel=1e-5)


def test_a_column_per_parameter_and_every_second_epoch(tmp_path, make_model, make_trainer):
    model, reference = make_model(), Reference()
    tracker = make_tracker(
        tmp_path / "trace.csv",
        model,
        record_frequency=2,
        exclude_patterns=["conv", "layer1"],
        group_by_block=False,
    )
    make_trainer(model, [reference, tracker], epochs=5).fit()
    table = pd.read_csv(tmp_path / "trace.csv").set_index("epoch")
    assert list(table.index) == [2, 4]
    assert list(table.columns) == ["bn1.weight", "bn1.bias", "fc.weight", "fc.bias"]
    expected = statistics.fmean(reference.norms[4, "fc.bias"])
    assert table.loc[4, "fc.bias"] == pytest.approx(expected, rel=1e-5)


def test_frozen_layers_have_empty_cells(tmp_path, make_model, make_trainer):
    model = make_model()
    model.conv1.weight.requires_grad_(False)
    tracker = make_tracker(tmp_path / "trace.csv", model)
    make_trainer(model, [tracker], epochs=1).fit()
    row = pd.read_csv(tmp_path / "trace.csv").iloc[0]
    assert np.isnan(row["conv1"]) and row["bn1"] > 0


class StopError(Exception):
    pass


class StopAfter(Callback):
    def __init__(self, step):
        self.at = step

    def on_batch_end(self, state):
        if state.step == self.at:
            raise StopError


def test_memory_survives_a_stop_in_mid_epoch(tmp_path, make_model, make_trainer):
    """Stopped after 7 of 8 batches, saved after 6, and taken up again: the same bytes."""
    whole, model = tmp_path / "whole.csv", make_model()
    make_trainer(model, [make_tracker(whole, model)]).fit()

    part, model = tmp_path / "part.csv", make_model()
    writer = CheckpointWriter(tmp_path / "models", {}, every_steps=2, in_background=False)
    tracker = make_tracker(part, model)
    with pytest.raises(StopError):
        make_trainer(model, [tracker, StopAfter(7)], writer=writer).fit()

    saved = load_checkpoint(tmp_path / "models" / "last.pth")
    assert (saved["epoch"], saved["batch"]) == (1, 2)
    model = make_model(seed=1)
    tracker = make_tracker(part, model)
    trainer = make_trainer(model, [tracker])
    trainer.state.load_state_dict(saved)
    restore_callback_states([tracker], saved["callbacks"])
    trainer.fit()
    assert part.read_text() == whole.read_text()


def test_no_parameter_left_is_refused(tmp_path, make_model):
    with pytest.raises(ConfigError, match="exclude_patterns must leave at least one"):
        make_tracker(tmp_path / "trace.csv", make_model(), exclude_patterns=["."])


def test_overflowed_steps_are_left_out(tmp_path, make_model, make_state):
    """With gradient scaling (fp16) a step that overflowed is not applied, and not counted."""
    model = make_model()
    state = make_state(model)
    state.scaler = torch.amp.GradScaler("cpu", enabled=True)
    tracker = make_tracker(tmp_path / "trace.csv", model, exclude_patterns=["bn", "layer", "fc"])
    tracker.on_epoch_start(state)
    for value in (1.0, float("inf"), 3.0):
        for parameter in model.conv1.parameters():
            parameter.grad = torch.zeros_like(parameter)
            parameter.grad.view(-1)[0] = value
        tracker.on_gradients(state)
    state.epoch = 1
    tracker.on_epoch_end(state)
    assert pd.read_csv(tmp_path / "trace.csv").loc[0, "conv1"] == 2.0
