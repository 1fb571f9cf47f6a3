"""Submits trials to a launcher one by one, so that no trial waits for another."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from hydra.core.utils import JobReturn, JobStatus

from pochitrain.sweep.private_api import job_result
from pochitrain.sweep.trial_task import Pruned
from pochitrain.sweep.worker import ProcessLauncher


class Launching:
    """Runs several trials at the same time with any launcher.

    A launcher returns when all its jobs are done. It is called from one thread per trial, with one
    job each time, so that a trial can start as soon as another ends.
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

        Returns:
            A future of what the jobs returned, up to the first that failed or was pruned.
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
        """Run the jobs one after the other, and set the result of `future`."""
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
