"""A storage that is asked again while it does not answer: a database server may be restarted."""

import errno
import logging
import random
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage

from pochitrain.error import PochiError
from pochitrain.text import first_line

log = logging.getLogger(__name__)

PATIENCE_S = 300.0
"""Seconds for which an operation is tried again."""
HURRY_S = 5.0
"""The same when this process was asked to end."""
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0
"""Pauses between attempts double from the first to the longest; each is shortened at random by up
to a half, so that many workers do not come back at once."""

PASSING_STATES = ("08", "40", "57", "53300", "55P03", "25006")
"""Beginnings of SQLSTATE codes: connection lost, deadlock, server restarts, too many connections,
lock not available, a standby that is not yet the primary."""
PASSING_ERRNO = (errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.ENOLCK, errno.EINTR)
"""Errors of a shared folder whose server was restarted."""


class StorageLostError(PochiError):
    """The storage did not answer for as long as we were willing to wait."""


class Patient:
    """Forwards the methods of a storage, and repeats those that failed for a passing reason.

    An operation that failed may have been done all the same, if the connection was lost before the
    answer. Most operations set something, so doing them twice does no harm; a trial that is made
    twice has no owner, and is given up like those of a killed search.
    """

    def __init__(self, backend: BaseStorage, url: str) -> None:
        """
        Args:
            url: without a password, for messages.
        """
        self.backend = backend
        self.url = url
        self.patience_s = PATIENCE_S
        self.lost = threading.local()
        """`lost.now` of a thread: its last operation was given up, so the next is tried once."""

    def forward(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the backend.

        Raises:
            StorageLostError: if it fails for a passing reason again and again.
        """
        began, pause = time.monotonic(), FIRST_PAUSE_S
        is_told = failed = False
        while True:
            try:
                value = getattr(self.backend, method)(*args, **kwargs)
                self.lost.now = False
                return value
            except UpdateFinishedTrialError:
                if (
                    failed
                    and method == "set_trial_state_values"
                    and self.has_state(*args, **kwargs)
                ):
                    return True  # the attempt before had done it
                raise
            except Exception as error:
                if not is_passing(error):
                    raise
                failed = True
                waited = time.monotonic() - began
                if waited + pause > self.patience_s or getattr(self.lost, "now", False):
                    self.lost.now = True
                    raise StorageLostError(self.describe(error, waited)) from error
                if waited > 2 and not is_told:
                    is_told = True
                    log.warning(
                        f"The storage does not answer ({reason(error)}); trying again for up to "
                        f"{self.patience_s:.0f} s."
                    )
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def has_state(self, trial_id: int, state: Any, values: Any = None) -> bool:
        """Whether a trial has this state."""
        return bool(self.forward("get_trial", trial_id).state == state)

    def describe(self, error: Exception, waited_s: float) -> str:
        waited = f" for {waited_s:.0f} s" if waited_s >= 1 else ""
        return (
            f"The storage {self.url} has not answered{waited} ({reason(error)}). Once it does, the "
            "same command continues the search."
        )


def forwarded(name: str) -> Callable[..., Any]:
    """The method `name` of `PatientStorage`."""

    def call(self: Patient, *args: Any, **kwargs: Any) -> Any:
        return self.forward(name, *args, **kwargs)

    call.__name__ = name
    return call


METHODS = sorted({*BaseStorage.__abstractmethods__, "get_best_trial", "remove_session"})
PatientStorage: Any = type(
    "PatientStorage", (Patient, BaseStorage), {name: forwarded(name) for name in METHODS}
)
"""`Patient` as a storage of Optuna, made of the list of methods that a storage has."""


def hurry(storage: Any) -> None:
    """Do not wait long for `storage` any more: this process was asked to end."""
    if isinstance(storage, Patient):
        storage.patience_s = HURRY_S


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def reason(error: Exception) -> str:
    """One line about the innermost cause of an error, which is that of the database driver."""
    *_, innermost = causes(error)
    return f"{type(innermost).__name__}: {first_line(innermost)}"


def is_passing(error: Exception) -> bool:
    """Whether an operation that failed with `error` may succeed if it is tried again."""
    return any(is_passing_cause(cause) for cause in causes(error))


def is_passing_cause(error: BaseException) -> bool:
    if isinstance(error, StorageLostError):
        return False
    if isinstance(error, OSError):
        return error.errno in PASSING_ERRNO
    if isinstance(error, RuntimeError) and "did not possess lock" in str(error):
        return True  # of a journal: this process was suspended while it had the lock
    sqlalchemy: Any = sys.modules.get("sqlalchemy.exc")
    if sqlalchemy is not None and isinstance(error, sqlalchemy.TimeoutError):
        return True  # no connection of the pool is free
    if sqlalchemy is not None and isinstance(error, sqlalchemy.DBAPIError):
        return is_passing_of_driver(
            error.orig, isinstance(error, (sqlalchemy.OperationalError, sqlalchemy.InterfaceError))
        )
    grpc: Any = sys.modules.get("grpc")
    if grpc is not None and isinstance(error, grpc.RpcError):
        codes = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        return getattr(error, "code", lambda: None)() in codes
    return False


def is_passing_of_driver(error: Any, is_operational: bool) -> bool:
    """Whether the error of a database driver may pass.

    Args:
        is_operational: whether it is about the connection or the server, not about the statement.
    """
    if isinstance(error, sqlite3.Error):
        return "locked" in str(error) or "busy" in str(error)
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if state:
        return str(state).startswith(PASSING_STATES)
    return is_operational  # no answer of the server: the connection was lost or refused
