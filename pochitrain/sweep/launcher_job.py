"""What launchers lack: jobs that end with the sweep, and errors in a line.

Jobs get time to save their state (`STOP_S`), then they are killed.
"""

import multiprocessing
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hydra.plugins.launcher import Launcher

from pochitrain.error import ConfigError, PochiError
from pochitrain.sweep.heartbeat import process_start

STOP_S = 10.0
"""Seconds that jobs on this machine get to save their state before they are killed."""


def kind_of(launcher: Any) -> str:
    """joblib or submitit; empty for a launcher that ends its jobs itself."""
    found = re.match(r"hydra_plugins\.hydra_(\w+)_launcher\.", type(launcher).__module__)
    return found[1] if found else ""


def open_launcher(launcher: Launcher) -> None:
    """Prepare a launcher for calls from threads.

    Raises:
        ConfigError: if it cannot run jobs here, or would run parts of its settings as commands.
    """
    if kind_of(launcher) == "submitit":
        from pochitrain.sweep.private_submitit import watch_jobs

        refuse_lines(launcher)
        watch_jobs()
    elif hasattr(launcher, "open"):
        launcher.open()


def refuse_lines(launcher: Any) -> None:
    """Refuse settings of submitit of several lines: it writes each as one of the comments at the
    head of a shell script, where a second line would be a command.

    Raises:
        ConfigError: naming the key.
    """
    for name, value in launcher.params.items():
        if isinstance(value, str) and not value.isprintable():
            raise ConfigError(
                f"hydra.launcher.{name} must be one line without control characters, got {value!r}."
            )


def close_launcher(launcher: Launcher, is_stopped: bool) -> None:
    """Let go of a launcher.

    Args:
        is_stopped: whether jobs may still run, which are then ended.
    """
    kind = kind_of(launcher)
    if hasattr(launcher, "close"):
        launcher.close()
    elif is_stopped and kind == "joblib":
        workers = multiprocessing.active_children()
        end_processes(worker.pid for worker in workers if worker.pid is not None)
    elif is_stopped and kind == "submitit":
        from pochitrain.sweep.private_submitit import submitted_jobs

        slurm, local = submitted_jobs()
        if slurm:  # says nothing about those that have ended
            subprocess.run(["scancel", *slurm], stderr=subprocess.DEVNULL, check=False)
        end_processes(filter(is_child, local))


def is_child(pid: int) -> bool:
    """Whether a process of this number was started by this one, and its end not noticed yet."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def end_processes(pids: Iterable[int]) -> None:
    """Send SIGTERM to processes and all that they have started; kill those that do not end."""
    family = {pid: process_start(pid) for parent in pids for pid in (parent, *descendants(parent))}

    def alive() -> list[int]:
        return [pid for pid, start in family.items() if start and process_start(pid) == start]

    def send(number: signal.Signals) -> None:
        for pid in alive():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    send(signal.SIGTERM)
    end = time.monotonic() + STOP_S
    try:
        while alive() and time.monotonic() < end:
            time.sleep(0.05)
    finally:  # also after Ctrl+C again
        send(signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """Processes that `pid` and its children have started; empty where /proc does not tell."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    children = [int(word) for word in text.split()]
    return [found for child in children for found in (child, *descendants(child))]


def explain_launcher(error: Exception) -> Exception:
    """An error of a launcher as one of ours, in a line; others as they are."""
    text = str(error).strip()
    if 'not detect "srun"' in text:
        return ConfigError(
            "hydra/launcher=submitit_slurm must be used where srun and sbatch of a SLURM cluster "
            "are, got a machine without. To try it without a cluster: hydra/launcher=submitit_local"
        )
    if not type(error).__module__.startswith("submitit."):
        return error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lost = LOST.match(text)
    if lost:
        job, path, state = lost.groups()
        last = "" if lines[-1].startswith("No output") else f": {lines[-1]}"
        return PochiError(f"job {job} ended without a result ({state}; {path}_log.err{last})")
    if lines[-1].startswith("sbatch: "):
        return ConfigError(f"hydra.launcher must be what sbatch takes. {lines[-1]}")
    trace = text.split("-" * 22)
    if len(trace) == 3:  # what could not be loaded, say
        return PochiError(f"the job could not run: {trace[1].strip().splitlines()[-1]}")
    return PochiError(f"{type(error).__name__}: {lines[0]}")


LOST = re.compile(r"Job (\S+) \(task: \d+\) with path (\S+)_result\.pkl\nhas not .*\(state: (.*)\)")
"""submitit's message about a job that was killed."""
