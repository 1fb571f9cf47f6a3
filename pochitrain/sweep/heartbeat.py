"""Which search runs a trial, and whether that search is still alive.

A killed search leaves trials in state RUNNING. A later search on the same study marks them failed,
but never those of another search that is alive: each search writes a heartbeat with its host and
process to the study, and repeats it every few seconds as long as it lives.
"""

import os
import socket
import threading
import time
from datetime import datetime
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from pochitrain.sweep.private_api import set_user_attribute

OWNER = "pochitrain:search"
"""User attribute of a trial: token of the search that runs it."""
REASON = "fail_reason"
"""User attribute of a trial: why it failed."""
KILLED = "its search was killed"
"""The reason of a trial whose search was killed; when the trial ended is not known."""
INTERVAL_S = 20.0
"""Between two heartbeats."""
SILENCE_S = 6 * INTERVAL_S
"""A search on another machine counts as dead after this time without a heartbeat."""
GRACE_S = 60.0
"""A trial without an owner may have been asked for just now; it is left alone for this long."""


def process_start(pid: int) -> str | None:
    """Start time of a process in clock ticks (Linux), to tell a reused process id; None if dead."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields[19]
    except FileNotFoundError:
        if os.path.isdir("/proc/self"):
            return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "unknown"


class Heartbeat:
    """Keeps this search's sign of life in the study while the `with` block runs."""

    def __init__(self, study: Study, token: str) -> None:
        self.study = study
        self.token = token
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.keep_beating, daemon=True)

    def __enter__(self) -> "Heartbeat":
        self.beat()
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stopped.set()
        self.thread.join()
        self.study.set_user_attr(f"{OWNER}:{self.token}", None)

    def beat(self) -> None:
        pid = os.getpid()
        sign = {
            "host": socket.gethostname(),
            "pid": pid,
            "start": process_start(pid),
            "time": time.time(),
        }
        self.study.set_user_attr(f"{OWNER}:{self.token}", sign)

    def keep_beating(self) -> None:
        while not self.stopped.wait(INTERVAL_S):
            try:
                self.beat()
            except Exception:  # a storage that is busy now gets the next heartbeat
                continue


def is_alive(sign: dict[str, Any] | None) -> bool:
    if sign is None:
        return False
    if sign["host"] == socket.gethostname():
        return bool(process_start(sign["pid"]) == sign["start"])
    return bool(time.time() - sign["time"] < SILENCE_S)


def live_tokens(study: Study) -> set[str]:
    """Tokens of all searches on `study` that are alive."""
    prefix = f"{OWNER}:"
    return {
        key.removeprefix(prefix)
        for key, sign in study.user_attrs.items()
        if key.startswith(prefix) and is_alive(sign)
    }


def forget_dead(study: Study, alive: set[str]) -> None:
    """Remove the heartbeats of dead searches; their trials are stale either way."""
    for key, sign in study.user_attrs.items():
        if key.startswith(f"{OWNER}:") and sign and key[len(OWNER) + 1 :] not in alive:
            study.set_user_attr(key, None)


def is_stale(trial: FrozenTrial, alive: set[str]) -> bool:
    """Whether the search of a RUNNING trial is dead."""
    token = trial.user_attrs.get(OWNER)
    if token is not None:
        return token not in alive
    started = trial.datetime_start
    return started is None or (datetime.now() - started).total_seconds() > GRACE_S


def fail_stale_trials(study: Study) -> list[FrozenTrial]:
    """Mark the trials of dead searches failed, and return them."""
    alive = live_tokens(study)
    forget_dead(study, alive)
    found = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if not is_stale(trial, alive):
            continue
        set_user_attribute(study, trial, REASON, KILLED)
        study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        found.append(trial)
    return found
