"""The link between a job and its trial: in process, in worker processes and on other machines.

The sweeper wraps the task function in a `TrialTask` before it gives it to the launcher. Every
launcher carries the task function to the job and tells the job its number, and that is all that is
needed to find the trial: no environment variable, no override in the job's saved config.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig

OUTPUT_FILE = "output.log"


@dataclass
class Pruned:
    """What a job returns whose trial was pruned."""

    epochs: int
    """How many it had trained."""


class TrialLink:
    """What a job may do with its trial."""

    def __init__(self, trial: Any) -> None:
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


_current: list[TrialLink] = []
_here: dict[tuple[int, str], dict[int, Any]] = {}
"""Process and token of a search -> number -> trial. A forked child must not use the parent's."""


def current_trial() -> TrialLink | None:
    """The trial that this process is working on; None outside a search."""
    return _current[-1] if _current else None


def share_trials(token: str) -> dict[int, Any]:
    """The table in which the search `token` leaves its running trials for jobs in this process."""
    return _here.setdefault((os.getpid(), token), {})


def forget_trials(token: str) -> None:
    _here.pop((os.getpid(), token), None)


@dataclass
class StudyAddress:
    """How a job finds its study."""

    token: str
    """Of the search, for jobs in the same process."""
    storage: Any = None
    """URL or storage. None: in memory, only jobs in the same process can report."""
    study_name: str = ""
    pruner: Any = None
    num_repeats: int = 1
    """Jobs per trial; only the first of them reports."""
    reports: bool = True
    """False with several objectives, which Optuna does not prune."""
    quiet: bool = False
    """Whether the jobs' output goes to a file in their directory."""

    def find(self, job_num: int) -> Any | None:
        """The Optuna trial of job number `job_num`, if it is running and reports."""
        number, repeat = divmod(job_num, self.num_repeats)
        if repeat or not self.reports:
            return None
        table = _here.get((os.getpid(), self.token))
        if table is not None:
            return table.get(number)
        return None if self.storage is None else self.load(number)

    def load(self, number: int) -> Any | None:
        import optuna
        from optuna.trial import TrialState

        from pochitrain.sweep.storage import open_storage

        # RandomSampler: Trial's constructor runs the sampler's before_trial, which must do nothing.
        study = optuna.load_study(
            study_name=self.study_name,
            storage=open_storage(self.storage),
            sampler=optuna.samplers.RandomSampler(),
            pruner=self.pruner,
        )
        for frozen in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if frozen.number == number:
                return optuna.trial.Trial(study, frozen._trial_id)
        return None


class TrialTask:
    """A task function that knows which trial it works for.

    A pruned trial comes back as a value: an exception would make Hydra record a failed job.
    """

    def __init__(self, task: Callable[[Any], Any], address: StudyAddress) -> None:
        self.task = task
        self.address = address

    def __getstate__(self) -> dict[str, Any]:
        """With the task by value: under its name the decorated function is found, not this one."""
        import cloudpickle

        return {"task": cloudpickle.dumps(self.task), "address": self.address}

    def __setstate__(self, saved: dict[str, Any]) -> None:
        import cloudpickle

        self.task = cloudpickle.loads(saved["task"])
        self.address = saved["address"]

    def __call__(self, cfg: Any) -> Any:
        from optuna.exceptions import TrialPruned

        node = HydraConfig.get()
        trial = self.address.find(node.job.num)
        folder = Path(node.runtime.output_dir) if self.address.quiet else None
        with linked(trial) as link, output_to(folder):
            try:
                value = self.task(cfg)
            except TrialPruned:
                return Pruned(len(link.steps) if link else 0)
        return Pruned(len(link.steps)) if link is not None and link.pruned else value


@contextlib.contextmanager
def linked(trial: Any | None) -> Iterator[TrialLink | None]:
    """Make `trial` the current one."""
    if trial is None:
        yield None
        return
    _current.append(TrialLink(trial))
    try:
        yield _current[-1]
    finally:
        _current.pop()


@contextlib.contextmanager
def output_to(folder: Path | None) -> Iterator[None]:
    """Send what the job prints into a file: twenty trainings on one terminal help nobody."""
    if folder is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (
        open(folder / OUTPUT_FILE, "a", encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
    ):
        yield
