"""Persistent worker processes for trials: each imports slow packages only once."""

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait

import cloudpickle
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from pochitrain.error import PochiError
from pochitrain.sweep.private_api import failed_job, run_job_in_worker

STOP_S = 3.0
"""Seconds that a worker may take to end before it is killed."""

Prepare = Callable[[int, DictConfig], None]
"""Called at the start of each worker with its number and the config."""


def serve(connection: Connection, place: int, num_threads: int, payload: bytes) -> None:
    """Main function of a worker: run jobs received from `connection` until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the search handles Ctrl+C
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(num_threads)  # before torch is imported
    threading.Thread(target=die_with_parent, daemon=True).start()
    context, config, task_function, singletons, prepare = cloudpickle.loads(payload)
    prepare(place, config)
    try:
        while True:
            index, overrides = connection.recv()
            returned = run_job_in_worker(
                index, overrides, context, config, task_function, singletons
            )
            returned.cfg = returned.hydra_cfg = None  # not needed, and perhaps not picklable
            connection.send(returned)
    except (EOFError, OSError, KeyboardInterrupt):
        return  # the search has ended, or this training was stopped


def die_with_parent() -> None:
    """End this process when the search is killed, since its result could not be reported."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class Worker:
    """A process that runs one job at a time."""

    def __init__(self, place: int, num_threads: int, payload: bytes) -> None:
        context = multiprocessing.get_context("spawn")
        self.place = place
        self.connection, theirs = context.Pipe()
        self.process = context.Process(
            target=serve, args=(theirs, place, num_threads, payload), name=f"trial worker {place}"
        )
        self.process.start()
        theirs.close()

    def run(self, index: int, overrides: list[str]) -> JobReturn:
        """Run a job.

        Raises:
            PochiError: if the process dies.
        """
        try:
            self.connection.send((index, overrides))
            wait([self.connection, self.process.sentinel])
            returned: JobReturn = self.connection.recv()
        except (EOFError, ConnectionError):
            self.process.join(STOP_S)
            raise PochiError(f"the worker process died ({self.exit_status()})") from None
        return returned

    def exit_status(self) -> str:
        """How the process ended, for messages."""
        code = self.process.exitcode
        if code is None or code >= 0:
            return f"exit status {code}"
        killed = signal.Signals(-code).name
        return f"{killed}, perhaps out of memory" if killed == "SIGKILL" else killed

    def stop(self) -> None:
        """Close the connection, at which an idle worker ends; terminate a busy one."""
        self.connection.close()
        self.process.join(0.2)
        if self.process.is_alive():
            self.process.terminate()
            self.process.join(STOP_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


class ProcessLauncher(Launcher):
    """Runs each job in a free worker. Threads may call `launch` concurrently.

    joblib's pool is not used: a killed worker (out of memory) breaks it for all trials, and its
    workers cannot each have their own GPU.
    """

    def __init__(self, num_workers: int, num_threads: int, prepare: Prepare) -> None:
        """
        Args:
            num_workers: number of processes; each is started when first needed.
            num_threads: OMP_NUM_THREADS and MKL_NUM_THREADS of each worker.
            prepare: called in each worker before its first job.
        """
        self.num_threads = num_threads
        self.prepare = prepare
        self.free: queue.Queue[int] = queue.Queue()
        self.workers: dict[int, Worker] = {}
        for place in range(num_workers):
            self.free.put(place)
        self.payload = b""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        state = Singleton.get_state()
        self.payload = cloudpickle.dumps(
            (hydra_context, config, task_function, state, self.prepare)
        )

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run jobs in a worker, one after the other; waits for a free one."""
        place = self.free.get()
        try:
            return [
                self.run(place, initial_job_idx + i, list(overrides))
                for i, overrides in enumerate(job_overrides)
            ]
        finally:
            self.free.put(place)

    def run(self, place: int, index: int, overrides: list[str]) -> JobReturn:
        """Run a job in worker number `place`, which is started if needed."""
        if place not in self.workers:
            self.workers[place] = Worker(place, self.num_threads, self.payload)
        try:
            return self.workers[place].run(index, overrides)
        except PochiError as error:
            self.workers.pop(place).stop()
            return failed_job(overrides, error)

    def close(self) -> None:
        """Stop all workers."""
        for place in list(self.workers):
            self.workers.pop(place).stop()


def threads_per_trial(num_trials: int) -> int:
    """Number of threads for each of `num_trials` parallel trials: a fair share of the cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (cores or 1) // num_trials)
