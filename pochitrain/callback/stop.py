"""Ending a run before its last epoch: after a given one, or when time is up."""

import time

from pochitrain.engine.callback import Callback
from pochitrain.engine.state import TrainState


class StopAfterEpoch(Callback):
    """Ends the run after an epoch, although the schedule is that of all epochs."""

    def __init__(self, epoch: int) -> None:
        """Args: epoch: the last one, counted from 1."""
        self.epoch = epoch

    def on_epoch_end(self, state: TrainState) -> None:
        if self.epoch <= state.epoch < state.epochs:
            state.stop_reason = f"stop_after_epoch={self.epoch}"


class TimeLimit(Callback):
    """Ends the run after the epoch whose successor would end too late, if that took as long."""

    def __init__(self, end_s: float) -> None:
        """Args: end_s: when the last epoch must have ended, of `time.monotonic`."""
        self.end_s = end_s
        self.begin_s = 0.0
        self.stopped_after: int | None = None
        """The epoch after which the run was ended; None if it was not."""

    def on_epoch_start(self, state: TrainState) -> None:
        self.begin_s = time.monotonic()

    def on_epoch_end(self, state: TrainState) -> None:
        now_s = time.monotonic()
        if state.epoch < state.epochs and 2 * now_s - self.begin_s > self.end_s:
            self.stopped_after = state.epoch
            state.stop_reason = "another epoch would take longer than the time that was given"
