"""Averaged weights, by hand and through a run."""

import pytest
import torch
from torch import nn

from pochitrain.callback.weight_ema import WeightEMA
from pochitrain.engine.callback import Callback
from pochitrain.engine.checkpoint import load_checkpoint
from pochitrain.engine.evaluate import evaluate


def test_hand_worked_average(tmp_path, make_state):
    """d = min(0.2, (1 + n) / (10 + n)): the first step is taken as it is, then 2/11 and 0.2."""
    model = nn.Linear(1, 1, bias=False)
    state = make_state(model)
    ema = WeightEMA(tmp_path / "ema.pth", model, 0.2, None, {})
    for value in (10.0, 21.0, 5.0, 5.0):
        if value == 5.0 and state.step == 3:
            ema.on_batch_end(state)  # no step since: gradients are being accumulated
            continue
        model.weight.data.fill_(value)
        state.step += 1
        ema.on_batch_end(state)
    after_two = 10 * 2 / 11 + 21 * 9 / 11
    assert ema.average.module.weight.item() == pytest.approx(after_two * 0.2 + 5 * 0.8)


class SlowAverage(Callback):
    def __init__(self, decay):
        self.decay, self.num, self.values = decay, 0, None

    def on_batch_end(self, state):
        now = {
            key: value.clone().double()
            for key, value in state.model.state_dict().items()
            if value.is_floating_point()
        }
        if self.values is None:
            self.values = now
        else:
            d = min(self.decay, (1 + self.num) / (10 + self.num))
            self.values = {key: d * self.values[key] + (1 - d) * now[key] for key in now}
        self.num += 1


def test_evaluated_and_saved_beside_the_raw_weights(tmp_path, make_model, make_trainer):
    model, slow = make_model(), SlowAverage(0.9)
    trainer = make_trainer(model, epochs=3)

    def validate(network):
        return evaluate(network, trainer.val_loader.epoch(0), trainer.criterion, trainer.precision)

    path = tmp_path / "models" / "ema.pth"
    ema = WeightEMA(path, model, 0.9, validate, {"class_names": ["a"]})
    trainer.callbacks = [ema, slow]
    state = trainer.fit()

    average = ema.average.module.state_dict()
    for key, value in slow.values.items():  # statistics of batch norm too
        torch.testing.assert_close(average[key].double(), value, rtol=1e-4, atol=1e-5)
    assert state.history[-1].extra["ema_val_loss"] == validate(ema.average.module).loss
    assert state.history[-1].extra["ema_val_loss"] != state.history[-1].val_loss

    best = max(state.history, key=lambda record: record.extra["ema_val_accuracy"])
    saved = load_checkpoint(path)
    assert saved["epoch"] == best.epoch and saved["class_names"] == ["a"]
    other = make_model(seed=1)
    other.load_state_dict(saved["model"])
    assert validate(other).accuracy == best.extra["ema_val_accuracy"]


def test_memory_survives_a_resume(tmp_path, make_model, make_trainer):
    def run(model, epochs, saved=None):
        ema = WeightEMA(tmp_path / "ema.pth", model, 0.9, None, {})
        trainer = make_trainer(model, [ema], epochs=epochs)
        if saved is not None:
            trainer.state.load_state_dict(saved)
            ema.load_state_dict(saved["callbacks"]["WeightEMA"])
        trainer.fit()
        return ema.average.module.state_dict()

    whole = run(make_model(), 3)
    run(make_model(), 1)
    saved = load_checkpoint(tmp_path / "models" / "last.pth")
    again = run(make_model(seed=1), 3, saved)
    assert all(torch.equal(whole[key], again[key]) for key in whole)
