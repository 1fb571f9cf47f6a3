"""What is frozen stays bit for bit what it was: a backbone, or statistics of batch norm only."""

import pytest
import torch

from pochitrain.callback.freeze import FreezeBackbone, FreezeNorm
from pochitrain.engine.callback import Callback


class Snapshots(Callback):
    def __init__(self):
        self.states = []

    def on_epoch_end(self, state):
        saved = state.model.state_dict().items()
        self.states.append({key: value.clone() for key, value in saved})


def changed(before, after):
    return {key for key in before if not torch.equal(before[key], after[key])}


@pytest.mark.parametrize("num_epochs", [2, None])
def test_backbone_stays(make_model, make_trainer, num_epochs):
    model, snapshots = make_model(), Snapshots()
    start = {key: value.clone() for key, value in model.state_dict().items()}
    make_trainer(model, [FreezeBackbone(model, num_epochs), snapshots], epochs=3).fit()
    assert changed(start, snapshots.states[1]) == {"fc.weight", "fc.bias"}
    if num_epochs is None:
        assert changed(start, snapshots.states[2]) == {"fc.weight", "fc.bias"}
    else:
        # everything but what batch norm takes out again: the biases in front of it hardly move
        moved = changed(snapshots.states[1], snapshots.states[2])
        assert {"conv1.weight", "bn1.weight", "bn1.running_mean", "layer1.0.weight"} <= moved


def test_resumed_in_a_frozen_epoch_it_is_frozen(make_model, make_state):
    model = make_model()
    state = make_state(model)
    state.epoch = 1
    model.train()
    FreezeBackbone(model, 2).on_epoch_start(state)
    assert not model.conv1.weight.requires_grad and not model.bn1.training
    assert model.fc.weight.requires_grad and model.training


def test_frozen_statistics_stay_while_everything_else_is_trained(make_model, make_trainer):
    model = make_model()
    model.bn1.running_mean.fill_(0.3)
    start = {key: value.clone() for key, value in model.state_dict().items()}
    make_trainer(model, [FreezeNorm(model)], epochs=2).fit()
    moved = changed(start, model.state_dict())
    assert {"conv1.weight", "bn1.weight", "bn1.bias", "layer1.0.weight", "fc.weight"} <= moved
    assert not {key for key in moved if "running" in key or "batches_tracked" in key}
