"""Which searches count as alive: on this machine by their process, elsewhere by their heartbeat."""

import os
import subprocess
import sys
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial

from pochitrain.sweep import heartbeat
from pochitrain.sweep.heartbeat import OWNER, SILENT_LOOKS, Heartbeat, Watch, process_start
from pochitrain.sweep.patience import StorageLostError


def sign(study: optuna.Study, token: str, place: str, **more: Any) -> None:
    study.set_user_attr(f"{OWNER}:{token}", {"place": place, "pid": 1, "start": "1", **more})


def trial_of(study: optuna.Study, token: str | None) -> FrozenTrial:
    trial = study.ask()
    if token is not None:
        trial.set_user_attr(OWNER, token)
    return study.get_trials()[trial.number]


def test_elsewhere_a_heartbeat_that_does_not_change_is_dead() -> None:
    """Whatever time the clock of that machine shows."""
    study = optuna.create_study()
    watch = Watch(study, "me")
    sign(study, "quick", "elsewhere", count=0, time=0.0)
    sign(study, "silent", "elsewhere", count=0, time=1e12)
    for look in range(SILENT_LOOKS + 1):
        assert watch.is_alive("silent") == (look < SILENT_LOOKS)
        watch.look()
        sign(study, "quick", "elsewhere", count=look, time=0.0)
    assert not watch.is_alive("silent")
    assert watch.is_alive("quick")
    assert watch.is_stale(trial_of(study, "silent"))
    assert not watch.is_stale(trial_of(study, "quick"))
    watch.forget_dead()
    assert study.user_attrs[f"{OWNER}:silent"] is None
    sign(study, "silent", "elsewhere", count=1)
    watch.look()
    assert watch.is_alive("silent"), "it was only suspended"


def test_looks_that_the_storage_did_not_answer_do_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = optuna.create_study()
    watch = Watch(study, "me")
    sign(study, "other", "elsewhere", count=0)
    watch.look()

    def fail(*args: Any) -> Any:
        raise ConnectionError("the server is away")

    with monkeypatch.context() as patched:
        patched.setattr(type(study._storage), "get_study_user_attrs", fail)
        for _ in range(2 * SILENT_LOOKS):
            with pytest.raises(ConnectionError):
                watch.look()
    assert watch.is_alive("other")


def test_here_the_process_decides_at_once() -> None:
    study = optuna.create_study()
    watch = Watch(study, "me")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    started = process_start(dead.pid)
    dead.wait()
    own = {"pid": os.getpid(), "start": process_start(os.getpid())}
    sign(study, "alive", watch.place, **own)
    sign(study, "reused", watch.place, **{**own, "start": "0"})
    sign(study, "dead", watch.place, pid=dead.pid, start=started)
    assert [watch.is_alive(token) for token in ("alive", "reused", "dead")] == [True, False, False]
    assert watch.others() == ["alive"]


def test_an_unknown_token_has_ended() -> None:
    study = optuna.create_study()
    watch = Watch(study, "me")
    assert not watch.is_alive("gone")
    assert watch.is_alive("me"), "before its first heartbeat too"
    with Heartbeat(Watch(study, "new")):
        assert watch.is_alive("new"), "it began since the last look"
    assert not watch.others()


def test_a_storage_that_is_away_does_not_hide_why_a_search_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = optuna.create_study()

    def lose(key: str, value: object) -> None:
        raise StorageLostError("away")

    with pytest.raises(KeyboardInterrupt), Heartbeat(Watch(study, "me")):
        monkeypatch.setattr(study, "set_user_attr", lose)
        raise KeyboardInterrupt
    monkeypatch.undo()
    with pytest.raises(StorageLostError), Heartbeat(Watch(study, "me")):
        monkeypatch.setattr(study, "set_user_attr", lose)


def test_a_trial_without_an_owner_is_spared_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    study = optuna.create_study()
    watch = Watch(study, "me")
    trial = trial_of(study, None)
    assert not watch.is_stale(trial)
    monkeypatch.setattr(heartbeat, "GRACE_S", -1.0)
    assert watch.is_stale(trial)
