"""Detects trials whose search has been killed.

A killed search leaves trials in state RUNNING, which a later search on the same study marks failed.
To spare the trials of other running searches, each search writes a heartbeat with its host and
process to the study every few seconds.
"""

import contextlib
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
"""User attribute of a trial: token of the search that runs it. Also prefix of heartbeats."""
REASON = "fail_reason"
"""User attribute of a trial: why it failed."""
KILLED = "its search was killed"
"""Value of REASON if the search was killed; the end time of such a trial is not known."""
INTERVAL_S = 20.0
"""Seconds between two heartbeats."""
SILENCE_S = 6 * INTERVAL_S
"""Seconds without a heartbeat after which a search on another machine counts as dead."""
GRACE_S = 60.0
"""Seconds for which a trial without an owner is spared: it may have been created just now."""


def process_start(pid: int) -> str | None:
    """Start time of a process in clock ticks (Linux), to detect reused ids; None if dead.

    "unknown" for a live process on other systems.
    """
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
    """Writes the heartbeat of this search to the study while the `with` block runs."""

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
        with contextlib.suppress(FileNotFoundError):  # discarded with its directory
            self.study.set_user_attr(f"{OWNER}:{self.token}", None)

    def beat(self) -> None:
        """Write a heartbeat to the study."""
        pid = os.getpid()
        sign = {
            "host": socket.gethostname(),
            "pid": pid,
            "start": process_start(pid),
            "time": time.time(),
        }
        self.study.set_user_attr(f"{OWNER}:{self.token}", sign)

    def keep_beating(self) -> None:
        """Main function of the thread: write a heartbeat until the block ends."""
        while not self.stopped.wait(INTERVAL_S):
            try:
                self.beat()
            except Exception:  # for example a busy storage; the next heartbeat may succeed
                continue


def is_alive(sign: dict[str, Any] | None) -> bool:
    """Whether the search that wrote the heartbeat `sign` is alive; None is a removed heartbeat."""
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
    """Remove the heartbeats of dead searches. Their trials remain stale."""
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
    """Mark the trials of dead searches as failed, and return them."""
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
