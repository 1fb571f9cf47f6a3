"""The handle through which a job reports to its trial and learns that it is pruned."""

import contextlib
from collections.abc import Iterator
from typing import Any


class TrialHandle:
    """The trial of a job."""

    def __init__(self, trial: Any) -> None:
        """
        Args:
            trial: the `optuna.Trial`.
        """
        self.trial = trial
        self.steps: list[int] = []
        self.pruned = False

    def report(self, value: float, step: int) -> str | None:
        """Report the value of the monitored metric after an epoch.

        Args:
            step: number of finished epochs.

        Returns:
            Why the job must stop now; None to continue.
        """
        from optuna.exceptions import UpdateFinishedTrialError

        try:
            self.trial.report(value, step)
            self.steps.append(step)
            self.pruned = self.trial.should_prune()
        except UpdateFinishedTrialError:
            return "the search has abandoned this trial"
        return "pruned" if self.pruned else None


_current: list[TrialHandle] = []


def current_trial() -> TrialHandle | None:
    """The trial whose job runs in this process; None outside a search."""
    return _current[-1] if _current else None


@contextlib.contextmanager
def working_on(trial: Any | None) -> Iterator[TrialHandle | None]:
    """Make `trial` the current one in the block; does nothing for None."""
    if trial is None:
        yield None
        return
    _current.append(TrialHandle(trial))
    try:
        yield _current[-1]
    finally:
        _current.pop()
