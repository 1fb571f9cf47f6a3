"""A run that ends before its last epoch has the epochs of a whole one up to there."""

from types import SimpleNamespace

import pytest

from pochitrain.callback import stop
from pochitrain.callback.stop import StopAfterEpoch, TimeLimit


def rates(make_trainer, make_model, callbacks, epochs):
    state = make_trainer(make_model(), callbacks, epochs=epochs).fit()
    return [record.train_loss for record in state.history], state.stop_reason


def test_stopped_after_an_epoch_it_is_the_beginning_of_the_whole_run(make_trainer, make_model):
    whole, reason = rates(make_trainer, make_model, [], 4)
    assert (len(whole), reason) == (4, None)
    part, reason = rates(make_trainer, make_model, [StopAfterEpoch(2)], 4)
    assert part == whole[:2]
    assert reason == "stop_after_epoch=2"


@pytest.mark.parametrize("epoch", [4, 9])
def test_the_last_epoch_needs_no_reason_to_end(make_trainer, make_model, epoch):
    losses, reason = rates(make_trainer, make_model, [StopAfterEpoch(epoch)], 4)
    assert (len(losses), reason) == (4, None)


@pytest.mark.parametrize(
    ("end_s", "last"),
    [(40.0, None), (39.0, 3), (30.0, 3), (29.9, 2), (0.0, 1)],
)
def test_no_epoch_begins_that_would_end_too_late(monkeypatch, end_s, last):
    clock = iter(10.0 * (i // 2 + i % 2) for i in range(8))  # four epochs of 10 s: 0-10, 10-20, ...
    monkeypatch.setattr(stop.time, "monotonic", lambda: next(clock))
    limit, state = TimeLimit(end_s), SimpleNamespace(epoch=0, epochs=4, stop_reason=None)
    while state.epoch < 4 and state.stop_reason is None:
        limit.on_epoch_start(state)
        state.epoch += 1
        limit.on_epoch_end(state)
    assert limit.stopped_after == last
    assert (state.stop_reason is None) == (last is None)
