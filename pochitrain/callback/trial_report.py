"""Reports each epoch to the search, and stops the run when the trial is pruned."""

from pochitrain.engine.callback import Callback
from pochitrain.engine.state import TrainState
from pochitrain.sweep import TrialHandle


class TrialReport(Callback):
    """Reports the monitored metric of every epoch (step = number of finished epochs)."""

    def __init__(self, trial: TrialHandle) -> None:
        self.trial = trial

    def on_epoch_end(self, state: TrainState) -> None:
        value = state.latest(state.monitor.metric)
        reason = self.trial.report(value, state.epoch)
        if reason is not None:
            state.stop_reason = reason
