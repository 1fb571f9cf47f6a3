"""Finds the trial of a job: in this process, in worker processes and on other machines.

The driver wraps the task function in a `TrialTask` before it gives it to the launcher. Every
launcher passes the task function and a number to the job, which is enough to find the trial:
no environment variable is needed, and no override in the saved config of the job.
"""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig

from pochitrain.error import ConfigError
from pochitrain.sweep.trial_handle import working_on
from pochitrain.text import first_line


@dataclass
class Pruned:
    """The return value of a job whose trial was pruned."""

    epochs: int
    """Number of epochs that were reported."""


_here: dict[tuple[int, str], dict[int, Any]] = {}
"""(process id, token of a search) -> number -> trial. A forked process has its own entry."""


def share_trials(token: str) -> dict[int, Any]:
    """The table (number -> trial) of the running trials of search `token` in this process."""
    return _here.setdefault((os.getpid(), token), {})


def forget_trials(token: str) -> None:
    """Drop the table of `share_trials`, at the end of the search."""
    _here.pop((os.getpid(), token), None)


@dataclass
class StudyAddress:
    """The information with which a job finds its study and trial."""

    token: str
    """Token of the search, for jobs in the same process."""
    storage: Any = None
    """URL or Optuna storage; None: in memory, where only jobs in the same process can report."""
    study_name: str = ""
    pruner: Any = None
    num_repeats: int = 1
    """Jobs per trial; only the first of them reports."""
    reports: bool = True
    """False with several objectives, for which Optuna has no pruning."""
    output_file: str | None = None
    """Name of the file for output in the directory of each job; None: the terminal."""

    def find(self, job_num: int) -> Any | None:
        """The Optuna trial of job number `job_num`; None if it has ended or does not report."""
        number, repeat = divmod(job_num, self.num_repeats)
        if repeat or not self.reports:
            return None
        table = _here.get((os.getpid(), self.token))
        if table is not None:
            return table.get(number)
        return None if self.storage is None else self.load(number)

    def load(self, number: int) -> Any | None:
        """The running trial `number` from the storage; None if it has ended."""
        import optuna

        from pochitrain.sweep.password import redact
        from pochitrain.sweep.private_api import attach_trial

        # RandomSampler, because Trial calls before_trial of the sampler, which must do nothing.
        try:
            study = optuna.load_study(
                study_name=self.study_name,
                storage=storage_here(self.storage),
                sampler=optuna.samplers.RandomSampler(),
                pruner=self.pruner,
            )
        except (ConfigError, KeyError, OSError) as error:
            known = first_line(error).rstrip(".")
            reason = "it has no such study" if isinstance(error, KeyError) else redact(known)
            raise ConfigError(
                "The storage of the search must be one that every machine with jobs reaches, got "
                f"{redact(str(self.storage))!r}, where {socket.gethostname()} does not find study "
                f"{self.study_name!r} ({reason}). Use a folder that they share, or a database "
                "server: postgresql://user@host/database."
            ) from error
        return attach_trial(study, number)


_storages: dict[tuple[int, str], Any] = {}
"""(process id, URL) -> open storage. A worker opens it once, not for every trial."""


def storage_here(url: Any) -> Any:
    """The storage at `url`, open in this process."""
    from pochitrain.sweep.storage import open_storage

    if not isinstance(url, str):
        return url
    key = (os.getpid(), url)
    if key not in _storages:
        _storages[key] = open_storage(url, is_job=True)
    return _storages[key]


class TrialTask:
    """A task function that makes its trial available through `current_trial`.

    A pruned job returns `Pruned`: an exception would make Hydra record a failed job.
    """

    def __init__(self, task: Callable[[Any], Any], address: StudyAddress) -> None:
        self.task = task
        self.address = address

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the task by value: its name refers to the decorated function."""
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
    """Append standard output to a file, so that the output of parallel jobs is not mixed."""
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as file, contextlib.redirect_stdout(file):
        yield
