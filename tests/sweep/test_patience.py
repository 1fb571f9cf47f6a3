"""Which errors of a storage pass, and what happens to operations meanwhile."""

import errno
import sqlite3
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError, ProgrammingError

from pochitrain.sweep import patience
from pochitrain.sweep.patience import PatientStorage, StorageLostError, is_passing


class DriverError(Exception):
    def __init__(self, text: str, sqlstate: str | None = None) -> None:
        super().__init__(text)
        self.sqlstate = sqlstate


def operational(text: str, sqlstate: str | None = None) -> Exception:
    return OperationalError("SELECT", {}, DriverError(text, sqlstate))


def wrapped(error: Exception) -> Exception:
    """As Optuna raises it."""
    outer = optuna.exceptions.StorageInternalError("An exception is raised during the commit.")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (wrapped(operational("connection refused")), True),
        (operational("terminating connection", "57P01"), True),
        (operational("the database system is starting up", "57P03"), True),
        (operational("too many clients", "53300"), True),
        (operational("deadlock detected", "40P01"), True),
        (operational("could not extend file: no space left", "53100"), False),
        (operational("password authentication failed", "28P01"), False),
        (ProgrammingError("SELECT", {}, DriverError("no such column", "42703")), False),
        (OperationalError("X", {}, sqlite3.OperationalError("database is locked")), True),
        (OperationalError("X", {}, sqlite3.OperationalError("disk I/O error")), False),
        (OSError(errno.ESTALE, "Stale file handle"), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (RuntimeError("Error: did not possess lock"), True),
        (RuntimeError("anything else"), False),
        (ValueError("a bug"), False),
    ],
)
def test_what_passes(error: Exception, passes: bool) -> None:
    assert is_passing(error) is passes


class Flaky(optuna.storages.InMemoryStorage):
    """Fails so many times, before or after it has done the operation."""

    failures = 0
    does_it_first = False

    def set_trial_state_values(self, *args: Any, **kwargs: Any) -> bool:
        if self.failures and not self.does_it_first:
            self.failures -= 1
            raise operational("connection refused")
        done = super().set_trial_state_values(*args, **kwargs)
        if self.failures:
            self.failures -= 1
            raise operational("server closed the connection unexpectedly")
        return done


@pytest.fixture
def flaky(monkeypatch: pytest.MonkeyPatch) -> Flaky:
    monkeypatch.setattr(patience, "FIRST_PAUSE_S", 0.001)
    return Flaky()


@pytest.mark.parametrize("does_it_first", [False, True])
def test_a_result_is_told_once(flaky: Flaky, does_it_first: bool) -> None:
    """Also if the answer was lost, after which Optuna says that the trial has ended already."""
    study = optuna.create_study(storage=PatientStorage(flaky, "url"))
    trial = study.ask()
    flaky.failures, flaky.does_it_first = 2 - does_it_first, does_it_first
    study.tell(trial, 1.0)
    assert [(t.state, t.value) for t in study.trials] == [(TrialState.COMPLETE, 1.0)]


def test_another_end_of_the_trial_is_not_taken_for_ours(flaky: Flaky) -> None:
    storage = PatientStorage(flaky, "url")
    study = optuna.create_study(storage=storage)
    number = study.ask()._trial_id
    storage.set_trial_state_values(number, TrialState.FAIL)
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        storage.set_trial_state_values(number, TrialState.COMPLETE, [1.0])


def test_patience_ends(flaky: Flaky) -> None:
    storage = PatientStorage(flaky, "postgresql://u:***@h/db")
    number = optuna.create_study(storage=storage).ask()._trial_id
    storage.patience_s = 0.05
    flaky.failures = 10**9
    with pytest.raises(StorageLostError, match=r"u:\*\*\*@h/db has not answered .*refused"):
        storage.set_trial_state_values(number, TrialState.COMPLETE, [1.0])
    storage.patience_s = 10**9  # but whoever has waited in vain does not wait again
    with pytest.raises(StorageLostError):
        storage.set_trial_state_values(number, TrialState.COMPLETE, [1.0])
    flaky.failures = 0
    assert storage.set_trial_state_values(number, TrialState.COMPLETE, [1.0])
    assert storage.lost.now is False


def test_other_errors_come_at_once(flaky: Flaky) -> None:
    storage = PatientStorage(flaky, "url")
    with pytest.raises(KeyError):
        storage.get_study_id_from_name("nosuch")
