"""Traces worked out by hand: for each sequence, the epoch after which the run ends."""

import math

import pytest

from pochitrain.callback.early_stopping import EarlyStopping

NAN = math.nan
# monitor, patience, min_delta, values, epoch that stops (None: the run goes on), best that counts
TRACES = [
    ("val_accuracy", 2, 0.0, [50, 60, 70, 80], None, 80),
    ("val_accuracy", 2, 0.0, [50, 50, 50], 3, 50),  # a tie is no improvement, even at min_delta 0
    ("val_accuracy", 2, 0.0, [50, 50.001, 50.001, 50.001], 4, 50.001),  # any gain counts at 0
    ("val_accuracy", 2, 3.0, [50, 53, 53, 53], 4, 53),  # exactly min_delta counts
    ("val_accuracy", 2, 3.0, [50.1, 53.1, 53, 53], 4, 53.1),  # so too where binary falls short
    ("val_accuracy", 2, 3.0, [50, 52.999, 52.9999], 3, 50),
    ("val_accuracy", 3, 3.0, [50, 51, 52, 53, 54, 55, 56], None, 56),  # slow climbs add up
    ("val_accuracy", 2, 3.0, [50, 51, 52, 53], 3, 50),  # but not within the patience
    ("val_accuracy", 2, 0.0, [50, 40, 60, 55, 55], 5, 60),  # the counter starts again
    ("val_accuracy", 2, 0.0, [50, NAN, NAN], 3, 50),  # NaN never improves
    ("val_accuracy", 2, 0.0, [NAN, 50, NAN, 51], None, 51),  # the first number sets the best
    ("val_accuracy", 2, 0.0, [NAN, NAN], 2, None),
    ("val_accuracy", 1, 0.0, [50, 49], 2, 50),
    ("val_loss", 2, 0.0, [1.0, 0.9, 0.8, 0.8, 0.9], 5, 0.8),  # down is better
    ("val_loss", 2, 0.1, [1.0, 0.9, 0.8, 0.7], None, 0.7),  # 0.9 - 0.8 < 0.1 in binary
    ("val_loss", 2, 0.1, [1.0, 0.95, 0.91], 3, 1.0),
    ("val_loss", 3, 3.0, [2.0, 1.0, 0.5, 0.1], 4, 2.0),  # the default delta and a loss
    ("val_loss", 2, 0.0, [1.0, math.inf, NAN], 3, 1.0),
]


@pytest.mark.parametrize(("monitor", "patience", "min_delta", "values", "stops", "best"), TRACES)
def test_trace(make_state, add_epoch, monitor, patience, min_delta, values, stops, best):
    state = make_state()
    stopper = EarlyStopping(patience=patience, min_delta=min_delta, monitor=monitor)
    ended = None
    for value in values:
        add_epoch(state, **{monitor: value})
        stopper.on_epoch_end(state)
        if state.stop_reason is not None:
            ended = state.epoch
            break
    assert ended == stops
    assert stopper.best == best


def test_memory_survives_a_resume(make_state, add_epoch):
    """Saved and loaded after every epoch, the run ends in the same epoch."""
    state = make_state()
    saved = EarlyStopping(patience=2, min_delta=3.0, monitor="val_accuracy").state_dict()
    for value in [50, 51, 53, 54, 55, 60]:
        stopper = EarlyStopping(patience=2, min_delta=3.0, monitor="val_accuracy")
        stopper.load_state_dict(saved)
        add_epoch(state, val_accuracy=value)
        stopper.on_epoch_end(state)
        saved = stopper.state_dict()
        if state.stop_reason:
            break
    assert state.epoch == 5
    assert state.stop_reason == (
        "val accuracy has not improved by 3 for 2 epochs, since 53 in epoch 3 (early stopping)"
    )
