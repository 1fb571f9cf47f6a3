"""`hydra/launcher=ray`: runs the jobs of a sweep as tasks of Ray, on this machine or on a cluster.

Hydra's own Ray launcher does not fit: it needs cloudpickle < 3, cannot be called from several
threads, and leaves its jobs running when the sweep is stopped. Every command imports this module,
so it imports ray only when a job is launched.
"""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from pochitrain.error import ConfigError, PochiError, require
from pochitrain.sweep.password import known_passwords
from pochitrain.text import first_line

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn

log = logging.getLogger(__name__)

STOP_S = 10.0
"""Seconds that jobs get to save their state when the sweep is stopped; then they are killed."""
KNOCK_S = 10.0
"""Seconds in which a cluster must accept a connection."""
STORE_BYTES = 128 * 2**20
"""Ray's memory for shared objects on this machine. Jobs share nothing but their config; by default
it takes 30 % of the main memory."""

# Read when ray is imported. Under `uv run` Ray would start its workers with `uv run` too, in a copy
# of this folder that has none of our environment, and the jobs would wait for ever.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")


@dataclass
class RayLauncherConf:
    """The schema of `hydra/launcher=ray`."""

    _target_: str = "pochitrain.sweep.ray_launcher.RayLauncher"
    address: str | None = None
    """null: Ray is started on this machine for the time of the sweep. auto, HOST:6379 or
    ray://HOST:10001: a cluster that runs."""
    num_cpus: float = 1.0
    """Cores that each job gets. As many jobs run at a time as fit on the machines."""
    num_gpus: float = 0.0
    """GPUs that each job gets (0.5: two jobs share one). A job with 0 sees none."""
    resources: dict[str, float] = field(default_factory=dict)
    """Resources of your own that each job needs, as the machines were started with."""
    max_retries: int = 0
    """How often a job is started again whose machine or process has died."""
    runtime_env: dict[str, Any] = field(default_factory=dict)
    """What Ray prepares on the machines: env_vars, working_dir, py_modules, ..."""
    log_to_driver: bool = True
    """Whether what the jobs print is shown here."""


class RayLauncher(Launcher):
    """A Hydra launcher. Threads may call `launch` concurrently."""

    def __init__(
        self,
        address: str | None,
        num_cpus: float,
        num_gpus: float,
        resources: Any,
        max_retries: int,
        runtime_env: Any,
        log_to_driver: bool,
    ) -> None:
        """
        Args: see `RayLauncherConf`.

        Raises:
            ConfigError: for a value out of range, or if ray is not installed.
        """
        if find_spec("ray") is None:
            raise ConfigError(
                "hydra/launcher=ray needs the package ray, which is not installed. "
                "Type: pip install 'pochitrain[ray]'"
            )
        key = "hydra.launcher."
        require(num_cpus >= 0, f"{key}num_cpus", "a number >= 0", num_cpus)
        whole = num_gpus <= 1 or num_gpus == int(num_gpus)
        require(num_gpus >= 0 and whole, f"{key}num_gpus", "0 to 1 or a whole number", num_gpus)
        require(max_retries >= 0, f"{key}max_retries", "an integer >= 0", max_retries)
        self.address = address
        self.options: dict[str, Any] = {
            "num_cpus": num_cpus,
            "num_gpus": num_gpus,
            "resources": plain(resources),
            "max_retries": max_retries,
        }
        for name, amount in self.options["resources"].items():
            require(amount >= 0, f"{key}resources.{name}", "a number >= 0", amount)
        self.runtime_env = plain(runtime_env)
        self.log_to_driver = log_to_driver
        self.task: Any = None
        """The remote function with its options; None until the first job."""
        self.running: set[Any] = set()
        """References of jobs that were launched and have not ended."""
        self.is_ours = False
        """Whether this launcher has started or joined Ray, and leaves it again."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence["JobReturn"]:
        """Run jobs at the same time, as far as they fit on the machines; waits for all.

        Raises:
            ConfigError: if there is no such cluster, or no machine that has what a job needs.
        """
        self.open()
        jobs = []
        for index, overrides in enumerate(job_overrides, initial_job_idx):
            jobs.append(self.task.remote(self.payload, self.folder, index, list(overrides)))
            self.running.add(jobs[-1])
        pairs = zip(jobs, job_overrides, strict=True)
        return [self.wait_for(job, overrides) for job, overrides in pairs]

    def wait_for(self, job: Any, overrides: Sequence[str]) -> "JobReturn":
        """What a job returns; the record of a failed job if it does not."""
        import ray

        from pochitrain.sweep.private_api import failed_job

        try:
            returned: JobReturn = ray.get(job)
        except ray.exceptions.RayError as error:
            return failed_job(overrides, PochiError(explain(error)))
        finally:
            self.running.discard(job)
        return returned

    def open(self) -> None:
        """Start or join Ray, and hand over what all jobs need; does nothing the second time.

        The thread that starts Ray must live as long as Ray is needed: Linux ends the processes of
        Ray with it. So a sweep whose threads launch jobs calls this first.

        Raises:
            ConfigError: as `launch`.
        """
        if self.task is not None:
            return
        import cloudpickle
        import ray
        from hydra.core.singleton import Singleton

        if not ray.is_initialized():
            self.connect()
        self.require_machine()
        # With a directory of the code, Ray itself chooses the folder of the jobs.
        self.folder = None if "working_dir" in self.runtime_env else os.getcwd()
        state = Singleton.get_state()
        # Processes of a cluster have the environment of whoever started it.
        passwords = known_passwords()
        content = (self.hydra_context, self.config, self.task_function, state, passwords)
        self.payload = ray.put(cloudpickle.dumps(content))
        self.task = ray.remote(run_job).options(**self.options)

    def connect(self) -> None:
        """Start Ray on this machine, or join the cluster at `address`."""
        import ray

        is_local = self.address is None
        settings: dict[str, Any] = {
            "address": self.address or "local",  # "local": never that of somebody else
            "runtime_env": self.runtime_env or None,
            "log_to_driver": self.log_to_driver,
            "logging_level": logging.ERROR,
        }
        if is_local:
            settings |= {"include_dashboard": False, "object_store_memory": STORE_BYTES}
        try:
            if self.address is not None:
                knock(self.address)
            with keeping_sigterm():
                ray.init(**settings)
        except (OSError, RuntimeError, ValueError) as error:  # ConnectionError is an OSError
            reason = first_line(error).rstrip(".")
            if is_local:
                raise PochiError(f"Ray could not be started here: {reason}.") from error
            raise ConfigError(
                "hydra.launcher.address must be a Ray cluster that answers, got "
                f"{self.address!r} ({reason}). To start one: ray start --head. If it asks for a "
                "token, as Ray 2.60 does: export RAY_AUTH_MODE=token"
            ) from error
        self.is_ours = True

    def require_machine(self) -> None:
        """Refuse a job that no machine can take: Ray would wait for one for ever.

        Raises:
            ConfigError: naming the key, and what the largest machine has.
        """
        import ray

        list_nodes: Any = ray.nodes  # which has no types
        machines = [node["Resources"] for node in list_nodes() if node["Alive"]]
        needs = {"CPU": ("num_cpus", self.options["num_cpus"])}
        needs["GPU"] = ("num_gpus", self.options["num_gpus"])
        for name, amount in self.options["resources"].items():
            needs[name] = (f"resources.{name}", amount)
        for resource, (key, amount) in needs.items():
            largest = max((float(machine.get(resource, 0)) for machine in machines), default=0.0)
            rule = f"at most what a machine of the Ray cluster has ({largest:g} {resource})"
            require(amount <= largest, f"hydra.launcher.{key}", rule, amount)
        num_gpus = sum(machine.get("GPU", 0) for machine in machines)
        if num_gpus and not self.options["num_gpus"] and self.config.get("device") != "cpu":
            log.warning(
                f"hydra.launcher.num_gpus is 0, so no job sees one of the {num_gpus:g} GPUs of "
                "the Ray cluster. To give each job one: hydra.launcher.num_gpus=1"
            )

    def close(self) -> None:
        """End the jobs that still run, letting them save their state, and leave Ray."""
        if self.task is None:
            return
        import ray

        jobs = list(self.running)
        for job in jobs:
            ray.cancel(job)  # raises KeyboardInterrupt in the job, whatever handles it there
        try:
            left = ray.wait(jobs, num_returns=len(jobs), timeout=STOP_S)[1] if jobs else []
        except KeyboardInterrupt:  # Ctrl+C again
            left = jobs
        for job in left:
            ray.cancel(job, force=True)
        if self.is_ours:
            ray.shutdown()
        self.task = None


def knock(address: str) -> None:
    """Try whether anything listens at HOST:PORT or ray://HOST:PORT; Ray itself waits ten minutes.

    Raises:
        OSError: if nothing does.
    """
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if separator and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_S).close()


@contextmanager
def keeping_sigterm() -> Iterator[None]:
    """Keep the handler of SIGTERM in the block, in which Ray sets one of its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run_job(payload: bytes, folder: str | None, index: int, overrides: list[str]) -> "JobReturn":
    """Run a job, in a process of Ray.

    Args:
        folder: that of the command, for relative paths; stays in Ray's if it is not there.
        index: number of the job.
    """
    import cloudpickle

    from pochitrain.sweep.private_api import run_job_in_worker

    if folder is not None and os.path.isdir(folder):
        os.chdir(folder)
    context, config, task_function, singletons, passwords = cloudpickle.loads(payload)
    os.environ |= passwords
    returned = run_job_in_worker(index, overrides, context, config, task_function, singletons)
    returned.cfg = returned.hydra_cfg = None  # not needed, and perhaps not picklable
    return returned


def plain(node: Any) -> dict[str, Any]:
    """A mapping of the config as a dict."""
    content: Any = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    return {str(key): value for key, value in dict(content or {}).items()}


def explain(error: Exception) -> str:
    """One line about a job that returned nothing: its process died, or it was cancelled."""
    import ray

    if isinstance(error, ray.exceptions.TaskCancelledError):
        return "the job was cancelled"
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return "Ray has killed the job, since the memory of its machine was full"
    if isinstance(error, ray.exceptions.WorkerCrashedError):
        return "the process of the job died, perhaps out of memory"
    if isinstance(error, ray.exceptions.RayTaskError):  # a traceback; its last line says what
        return f"the job could not run: {str(error).strip().splitlines()[-1]}"
    return f"the job was lost: {first_line(error)}"


ConfigStore.instance().store(
    group="hydra/launcher", name="ray", node=RayLauncherConf, provider="pochitrain"
)
