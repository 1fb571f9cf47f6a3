"""Detects trials whose search has been killed.

A killed search leaves trials in state RUNNING. To tell them from the trials of other searches that
are at work on the same study, each search writes a heartbeat to the study every few seconds, and
watches those of the others.

No clocks are compared, since those of two machines may differ: a search on another machine is dead
when its heartbeat has not changed in so many looks of ours. A time in which the storage does not
answer counts for nothing.
"""

import contextlib
import os
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial

from pochitrain.sweep.patience import StorageLostError

OWNER = "pochitrain:search"
"""User attribute of a trial: token of the search that runs it. Also prefix of heartbeats."""
REASON = "fail_reason"
"""User attribute of a trial: why it failed."""
KILLED = "its search was killed"
"""Value of REASON if the search was killed; the end time of such a trial is not known."""
INTERVAL_S = 20.0
"""Seconds between two heartbeats."""
SILENT_LOOKS = 6
"""Looks, one per interval, in which a heartbeat on another machine must change."""
GRACE_S = 60.0
"""Seconds for which a trial without an owner is spared: it may have been created just now."""
LEAVE_S = 5.0
"""Seconds that the last heartbeat may take at the end of a search."""


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


def this_place() -> str:
    """Where process ids mean the same: this machine since it was started, and this container.

    The host name alone does not say it: containers may have that of their host, and copies of a
    machine each other's.
    """
    host = socket.gethostname()
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{host} {file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return host


@dataclass
class Pulse:
    """The heartbeat of another search, as far as we have followed it."""

    sign: dict[str, Any]
    silent_looks: int = 0
    """Looks since it changed."""


class Watch:
    """Knows which searches on a study are alive."""

    def __init__(self, study: Study, token: str = "") -> None:
        """
        Args:
            token: of this search, which is alive.
        """
        self.study = study
        self.token = token
        self.place = this_place()
        self.pulses: dict[str, Pulse] = {}
        self.ownerless: dict[int, float] = {}
        """Number of a trial without an owner -> when it was first seen, of time.monotonic."""
        self.lock = threading.Lock()

    def look(self) -> None:
        """Read the heartbeats of all searches; to be called once per interval."""
        self.follow(silence=1)

    def follow(self, silence: int) -> None:
        """Read the heartbeats of all searches.

        Args:
            silence: what this look adds to the count for those that have not changed.
        """
        prefix = f"{OWNER}:"
        attributes = self.study.user_attrs
        with self.lock:
            pulses = {}
            for key, sign in attributes.items():
                if key.startswith(prefix) and sign is not None:
                    token = key.removeprefix(prefix)
                    known = self.pulses.get(token)
                    is_same = known is not None and known.sign == sign
                    looks = known.silent_looks + silence if known and is_same else 0
                    pulses[token] = Pulse(sign, looks)
            self.pulses = pulses

    def is_alive(self, token: str) -> bool:
        """Whether the search `token` is at work."""
        if token == self.token:
            return True
        if token not in self.pulses:
            self.follow(silence=0)  # it may have begun since the last look
        with self.lock:
            pulse = self.pulses.get(token)
        if pulse is None:
            return False
        if pulse.sign.get("place") == self.place:
            return bool(process_start(pulse.sign["pid"]) == pulse.sign["start"])
        return pulse.silent_looks < SILENT_LOOKS

    def others(self) -> list[str]:
        """Tokens of the other searches that are at work."""
        self.follow(silence=0)
        return [token for token in self.pulses if token != self.token and self.is_alive(token)]

    def forget_dead(self) -> None:
        """Remove the heartbeats of dead searches. Their trials remain stale."""
        for token in list(self.pulses):
            if not self.is_alive(token):
                self.study.set_user_attr(f"{OWNER}:{token}", None)

    def is_stale(self, trial: FrozenTrial) -> bool:
        """Whether the search of a RUNNING trial is dead."""
        owner = trial.user_attrs.get(OWNER)
        if owner is not None:
            return not self.is_alive(owner)
        first_seen = self.ownerless.setdefault(trial.number, time.monotonic())
        return time.monotonic() - first_seen > GRACE_S


class Heartbeat:
    """Writes the heartbeat of this search, and keeps the watch, while the `with` block runs."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.study = watch.study
        self.token = watch.token
        self.count = 0
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.keep_beating, daemon=True)

    def __enter__(self) -> "Heartbeat":
        self.beat()
        self.watch.look()
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stopped.set()
        self.thread.join(LEAVE_S)
        hidden: list[type[Exception]] = [FileNotFoundError]  # discarded with its directory
        if error[0] is not None:  # which says why the search ends
            hidden.append(StorageLostError)
        with contextlib.suppress(*hidden):
            self.study.set_user_attr(f"{OWNER}:{self.token}", None)

    def beat(self) -> None:
        """Write a heartbeat to the study."""
        pid = os.getpid()
        self.count += 1
        sign = {
            "place": self.watch.place,
            "pid": pid,
            "start": process_start(pid),
            "count": self.count,
            "time": time.time(),  # for people
        }
        self.study.set_user_attr(f"{OWNER}:{self.token}", sign)

    def keep_beating(self) -> None:
        """Main function of the thread: write a heartbeat and look, until the block ends."""
        while not self.stopped.wait(INTERVAL_S):
            try:
                self.beat()
                self.watch.look()
            except Exception:  # for example a busy storage; the next heartbeat may succeed
                continue
