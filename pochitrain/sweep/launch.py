"""Gives jobs to a launcher one trial at a time, so that no trial waits for another."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from hydra.core.utils import JobReturn, JobStatus

from pochitrain.sweep.private_api import job_result
from pochitrain.sweep.trial_task import Pruned
from pochitrain.sweep.worker import ProcessLauncher


class Launching:
    """Several trials at the same time through any launcher.

    A launcher waits for the jobs that it is given; called from a thread per trial, each time with
    one job, even one that knows only batches starts a trial as soon as another ends.
    """

    def __init__(self, launcher: Any, is_here: bool) -> None:
        self.launcher = launcher
        self.is_here = is_here

    def __enter__(self) -> "Launching":
        return self

    def __exit__(self, *error: object) -> None:
        if isinstance(self.launcher, ProcessLauncher):
            self.launcher.close()

    def submit(self, jobs: Sequence[Sequence[str]], first: int) -> Future[list[JobReturn]]:
        """Start the jobs of a trial, one after the other.

        Args:
            first: number of the first job.
        """
        future: Future[list[JobReturn]] = Future()
        if self.is_here:  # in the main thread, where Ctrl+C and SIGTERM arrive
            self.run(future, jobs, first)
        else:
            arguments = (future, jobs, first)
            threading.Thread(target=self.run, args=arguments, daemon=True).start()
        return future

    def run(
        self, future: Future[list[JobReturn]], jobs: Sequence[Sequence[str]], first: int
    ) -> None:
        returned: list[JobReturn] = []
        try:
            for i, overrides in enumerate(jobs):
                returned += self.launcher.launch([list(overrides)], initial_job_idx=first + i)
                if returned[-1].status != JobStatus.COMPLETED:
                    break
                if isinstance(job_result(returned[-1]), Pruned):
                    break
        except Exception as error:
            future.set_exception(error)
            return
        future.set_result(returned)
