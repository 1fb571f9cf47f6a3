"""Searches that are stopped, killed, or run at the same time, as processes of their own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from pochitrain.sweep.storage import open_storage

REPOSITORY = Path(__file__).resolve().parents[2]


def start(folder: Path, storage: str, *words: str, n_trials: int = 12) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "tests.sweep.sphere",
        "--multirun",
        "hydra/sweeper=pochi",
        "hydra/sweeper/sampler=random",
        "hydra.sweeper.study_name=s",
        f"hydra.sweeper.storage={storage}",
        f"hydra.sweeper.n_trials={n_trials}",
        "hydra.sweeper.n_jobs=1",
        f"hydra.sweep.dir={folder}",
        "x=interval(-5.0,5.0)",
        "y=interval(-5.0,5.0)",
        *words,
    ]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=REPOSITORY,
        preexec_fn=hear_ctrl_c,
    )


def hear_ctrl_c() -> None:
    """A shell starts its background jobs, and so the tests that are one, deaf to SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def finish(process: subprocess.Popen[str]) -> int:
    output, _ = process.communicate(timeout=120)
    print(output)
    return process.returncode


def trials(storage: str) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="s", storage=open_storage(storage)).trials


def wait_for_directories(folder: Path, count: int) -> None:
    end = time.monotonic() + 60
    while sum(path.is_dir() for path in folder.glob("*")) < count:
        assert time.monotonic() < end, "the search does not get on"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["sqlite", "journal"])
def test_killed_searches_reach_the_total(scheme: str, tmp_path: Path) -> None:
    suffix = {"sqlite": f"sqlite:///{tmp_path}/s.db", "journal": f"journal://{tmp_path}/s.log"}
    storage, folder = suffix[scheme], tmp_path / "out"
    times: dict[Path, int] = {}
    for count in (2, 6):
        process = start(folder, storage, "sleep_s=0.05")
        wait_for_directories(folder, count)
        time.sleep(0.1)
        process.kill()
        process.communicate()
        times |= {path: path.stat().st_mtime_ns for path in folder.glob("*/facts.json")}
    assert finish(start(folder, storage)) == 0
    found = trials(storage)
    states = [trial.state.name for trial in found]
    assert states.count("COMPLETE") + states.count("PRUNED") == 12
    assert set(states) <= {"COMPLETE", "PRUNED", "FAIL", "RUNNING"} and states.count("FAIL") <= 2
    reasons = {t.user_attrs["fail_reason"] for t in found if t.state.name == "FAIL"}
    assert reasons <= {"its search was killed"}
    assert all(path.stat().st_mtime_ns == moment for path, moment in times.items())


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_search_and_frees_its_trial(
    number: signal.Signals, tmp_path: Path
) -> None:
    storage, folder = f"journal://{tmp_path}/s.log", tmp_path / "out"
    process = start(folder, storage, "sleep_s=0.3")
    wait_for_directories(folder, 2)
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert process.returncode != 0
    states = [trial.state.name for trial in trials(storage)]
    assert states.count("FAIL") == 1 and "RUNNING" not in states, output
    assert states[-1] == "WAITING", "its parameters are queued for the next run"
    cut = next(trial for trial in trials(storage) if trial.state.name == "FAIL")
    assert finish(start(folder, storage, n_trials=3)) == 0
    retried = [trial for trial in trials(storage) if trial.params == cut.params]
    assert len(retried) == 2 and retried[0].state.name == "FAIL"


@pytest.mark.slow
def test_two_searches_share_a_study(tmp_path: Path) -> None:
    storage = f"journal://{tmp_path}/s.log"
    processes = [start(tmp_path / name, storage, "sleep_s=0.05") for name in ("a", "b")]
    for process in processes:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
    states = [trial.state.name for trial in trials(storage)]
    assert states.count("COMPLETE") + states.count("PRUNED") == 12
    assert "RUNNING" not in states
    made = [path.name for name in "ab" for path in (tmp_path / name).glob("*/facts.json")]
    assert len(made) >= 12


def test_no_batches(tmp_path: Path) -> None:
    """One slow trial among quick ones: with two at a time, the others all go past it."""
    folder = tmp_path / "out"
    process = start(
        folder,
        f"journal://{tmp_path}/s.log",
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
        "hydra.sweeper.n_jobs=2",
        "hydra/sweeper/sampler=grid",
        "hydra/sweeper/pruner=nop",
        "sleep_s=0.02,0.03,0.04,0.05,0.06,1.5",
        "x=1.0",
        "y=1.0",
        n_trials=6,
    )
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    facts = [json.loads(path.read_text()) for path in folder.glob("*/facts.json")]
    assert len(facts) == 6 and os.getpid() not in {fact["pid"] for fact in facts}
    slow = max(facts, key=lambda fact: fact["end"] - fact["begin"])
    beside = [f for f in facts if slow["begin"] < f["begin"] < slow["end"]]
    after = [f for f in facts if f["begin"] >= slow["end"]]
    assert len(beside) >= 2 or not after, "a batch would wait for the slow one"
