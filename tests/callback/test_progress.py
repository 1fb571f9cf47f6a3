"""When a run will end, in a log without a terminal."""

import io
from types import SimpleNamespace
from typing import Any

import pytest

from pochitrain.callback import progress
from pochitrain.console import PrintableConsole
from pochitrain.engine.state import EpochRecord


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


def test_a_log_says_when_the_run_will_end_at_most_once_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    monkeypatch.setattr(progress, "describe_time_left", lambda left_s, now: f"{left_s:g} s left")
    monkeypatch.setattr(progress, "describe", lambda *_: "epoch line")
    file = io.StringIO()
    display = progress.ProgressDisplay(PrintableConsole(file=file), num_batches=10, num_images=10)
    state: Any = SimpleNamespace(epochs=4, epoch=0, batch=0, history=[EpochRecord])

    def run_epoch(batch_s: float, validation_s: float) -> None:
        display.on_epoch_start(state)
        for state.batch in range(1, 11):
            clock.now += batch_s
            display.on_batch_end(state)
        clock.now += validation_s
        state.epoch, state.batch = state.epoch + 1, 0
        display.on_epoch_end(state)

    display.on_fit_start(state)
    run_epoch(25, 0)  # 250 s: said after 75, 150 and 225 s
    run_epoch(20, 50)
    run_epoch(1, 20)
    run_epoch(1, 100)
    assert file.getvalue().splitlines() == [
        "epoch 1/4  batch 3/10  925 s left",  # 1,000 s in all
        "epoch 1/4  batch 6/10  850 s left",
        "epoch 1/4  batch 9/10  775 s left",
        "epoch line",
        "epoch 2/4  batch 2/10  700 s left",  # 2.8 epochs of 250 s
        "epoch 2/4  batch 5/10  625 s left",
        "epoch 2/4  batch 8/10  550 s left",
        "epoch line  500 s left",  # 90 s after the last time: 2 epochs of 250 s
        "epoch line",
        "epoch line",
    ]
