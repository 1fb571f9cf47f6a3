"""Early stopping: end a run when the monitored metric no longer improves."""

import math
from typing import Any

from pochitrain.engine.callback import Callback
from pochitrain.engine.state import Monitor, TrainState


class EarlyStopping(Callback):
    """Stops after `patience` epochs without an improvement of at least `min_delta`.

    Each epoch is compared with the last one that counted as an improvement, so many small steps
    add up: with min_delta 3, 50 -> 52 -> 53 improves at 53.
    """

    def __init__(self, *, patience: int, min_delta: float, monitor: Monitor | str) -> None:
        """Monitor a metric.

        Args:
            patience: epochs without improvement that end the run, >= 1.
            min_delta: smallest improvement, in units of the metric (percentage points), >= 0.
            monitor: what to monitor; a string is the name of a shipped metric.
        """
        self.patience = patience
        self.min_delta = min_delta
        self.monitor = Monitor(monitor) if isinstance(monitor, str) else monitor
        self.best: float | None = None
        self.best_epoch = 0
        self.num_bad_epochs = 0

    def on_epoch_end(self, state: TrainState) -> None:
        value = state.latest(self.monitor.metric, "early_stopping.monitor")
        if self.improves(value):
            self.best, self.best_epoch, self.num_bad_epochs = value, state.history[-1].epoch, 0
            return
        self.num_bad_epochs += 1
        if self.num_bad_epochs >= self.patience:
            state.stop_reason = self.describe()

    def improves(self, value: float) -> bool:
        """Whether `value` counts as an improvement. The first number does, NaN never."""
        if math.isnan(value):
            return False
        if self.best is None:
            return True
        change = value - self.best if self.monitor.higher_is_better else self.best - value
        # 53.1 - 50.1 is slightly below 3 in binary, but exactly 3 in the CSV.
        enough = change >= self.min_delta or math.isclose(change, self.min_delta, rel_tol=1e-9)
        return change > 0 and enough

    def describe(self) -> str:
        """The reason for stopping, as text."""
        name = self.monitor.metric.replace("_", " ")
        if self.best is None:
            return f"{name} was never a number in {self.num_bad_epochs} epochs (early stopping)"
        gain = f" by {self.min_delta:g}" if self.min_delta else ""
        return (
            f"{name} has not improved{gain} for {self.num_bad_epochs} epochs, since "
            f"{self.best:.4g} in epoch {self.best_epoch} (early stopping)"
        )

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": self.best,
            "best_epoch": self.best_epoch,
            "num_bad_epochs": self.num_bad_epochs,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.best = saved["best"]
        self.best_epoch = saved["best_epoch"]
        self.num_bad_epochs = saved["num_bad_epochs"]
