"""How a job finds its trial: in this process, in worker processes and on other machines.

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

from pochitrain.sweep.trial_handle import working_on


@dataclass
class Pruned:
    """What a job returns whose trial was pruned."""

    epochs: int
    """How many it had trained."""


_here: dict[tuple[int, str], dict[int, Any]] = {}
"""Process and token of a search -> number -> trial. A forked child must not use the parent's."""


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
    output_file: str | None = None
    """Where the jobs' output goes, in the directory of each; None leaves it on the terminal."""

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

        from pochitrain.sweep.private_api import attach_trial
        from pochitrain.sweep.storage import open_storage

        # RandomSampler: Trial's constructor runs the sampler's before_trial, which must do nothing.
        study = optuna.load_study(
            study_name=self.study_name,
            storage=open_storage(self.storage),
            sampler=optuna.samplers.RandomSampler(),
            pruner=self.pruner,
        )
        return attach_trial(study, number)


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
        name = self.address.output_file
        file = None if name is None else Path(node.runtime.output_dir) / name
        with working_on(trial) as handle, output_to(file):
            try:
                value = self.task(cfg)
            except TrialPruned:
                return Pruned(len(handle.steps) if handle else 0)
        return Pruned(len(handle.steps)) if handle is not None and handle.pruned else value


@contextlib.contextmanager
def output_to(path: Path | None) -> Iterator[None]:
    """Append what is printed to a file, so that parallel jobs do not mix on the terminal."""
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as file, contextlib.redirect_stdout(file):
        yield
