"""Gives the jobs of a sweep to a launcher, and ends them when the sweep is stopped."""

import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from pochitrain.sweep.launcher_job import close_launcher, explain_launcher, open_launcher
from pochitrain.sweep.private_api import job_result
from pochitrain.sweep.trial_task import Pruned


class Launching:
    """Runs several trials at the same time with any launcher, which the `with` block keeps open.

    A launcher returns when all its jobs are done. It is called from one thread per trial, with one
    job each time, so that a trial can start as soon as another ends.
    """

    def __init__(self, launcher: Any, is_here: bool) -> None:
        """
        Args:
            is_here: whether the launcher runs jobs in this process. Only then they are run in the
                main thread, where Ctrl+C and SIGTERM arrive.
        """
        self.launcher = launcher
        self.is_here = is_here

    def __enter__(self) -> "Launching":
        if not self.is_here:
            open_launcher(self.launcher)
        return self

    def __exit__(self, *error: object) -> None:
        if not self.is_here:
            close_launcher(self.launcher, is_stopped=error[0] is not None)

    def submit(self, jobs: Sequence[Sequence[str]], first: int) -> Future[list[JobReturn]]:
        """Start the jobs of a trial, one after the other.

        Args:
            first: number of the first job.

        Returns:
            A future of what the jobs returned, up to the first that failed or was pruned.
        """
        return self.start(lambda: self.run(jobs, first))

    def submit_all(self, jobs: Sequence[Sequence[str]], first: int) -> Future[list[JobReturn]]:
        """Give several jobs to the launcher at once; for arguments and result see `submit`."""
        return self.start(lambda: list(self.launcher.launch(jobs, initial_job_idx=first)))

    def start(self, work: Callable[[], list[JobReturn]]) -> Future[list[JobReturn]]:
        """Call `work` here, or in a thread that Ctrl+C does not reach; gives its result."""
        future: Future[list[JobReturn]] = Future()

        def call() -> None:
            if not self.is_here and hasattr(signal, "pthread_sigmask"):
                # Processes inherit it. The sweep ends them, with tracebacks from none of them.
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                returned = work()
            except Exception as error:
                future.set_exception(explain_launcher(error))
            else:
                future.set_result(returned)

        if self.is_here:
            call()
        else:
            threading.Thread(target=call, daemon=True).start()
        return future

    def run(self, jobs: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
        """Run the jobs one after the other, up to the first that failed or was pruned."""
        returned: list[JobReturn] = []
        for i, overrides in enumerate(jobs):
            returned += self.launcher.launch([list(overrides)], initial_job_idx=first + i)
            if returned[-1].status != JobStatus.COMPLETED:
                break
            if isinstance(job_result(returned[-1]), Pruned):
                break
        return returned


class StoppableLauncher(Launcher):
    """Any launcher whose jobs run outside of this process, for a sweeper that only waits for it.

    In the `with` block, an error (Ctrl+C) ends the jobs too.
    """

    def __init__(self, launcher: Launcher) -> None:
        self.launching = Launching(launcher, is_here=False)

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Do nothing: the launcher was set up before."""

    def __enter__(self) -> "StoppableLauncher":
        self.launching.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.launching.__exit__(*error)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        return self.launching.submit_all(job_overrides, initial_job_idx).result()
