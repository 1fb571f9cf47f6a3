"""Tells the search how each epoch went, and stops the run when the trial is pruned."""

from pochitrain.engine.callback import Callback
from pochitrain.engine.state import TrainState
from pochitrain.sweep.link import TrialLink


class TrialReport(Callback):
    """Reports the monitored metric of every epoch (step = number of finished epochs)."""

    def __init__(self, link: TrialLink) -> None:
        self.link = link

    def on_epoch_end(self, state: TrainState) -> None:
        value = state.latest(state.monitor.metric)
        reason = self.link.report(value, state.epoch)
        if reason is not None:
            state.stop_reason = reason
