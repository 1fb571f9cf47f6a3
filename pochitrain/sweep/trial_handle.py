"""What a job may do with its trial: report a value per epoch, and learn that it is pruned."""

import contextlib
from collections.abc import Iterator
from typing import Any


class TrialHandle:
    """The trial that a job works for."""

    def __init__(self, trial: Any) -> None:
        """
        Args:
            trial: the `optuna.Trial`.
        """
        self.trial = trial
        self.steps: list[int] = []
        self.pruned = False

    def report(self, value: float, step: int) -> str | None:
        """Report the metric of a finished epoch.

        Args:
            step: number of finished epochs.

        Returns:
            Why the job is to stop now; None to go on.
        """
        from optuna.exceptions import UpdateFinishedTrialError

        try:
            self.trial.report(value, step)
            self.steps.append(step)
            self.pruned = self.trial.should_prune()
        except UpdateFinishedTrialError:
            return "the search has given this trial up"
        return "pruned" if self.pruned else None


_current: list[TrialHandle] = []


def current_trial() -> TrialHandle | None:
    """The trial that this process is working on; None outside a search."""
    return _current[-1] if _current else None


@contextlib.contextmanager
def working_on(trial: Any | None) -> Iterator[TrialHandle | None]:
    """Make `trial` the current one."""
    if trial is None:
        yield None
        return
    _current.append(TrialHandle(trial))
    try:
        yield _current[-1]
    finally:
        _current.pop()
