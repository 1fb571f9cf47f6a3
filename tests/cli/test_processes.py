"""What several processes must not be asked to do: one message each, exit code 2, nothing begun."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from pochitrain.cli import app, main
from pochitrain.config.processes import check_processes
from pochitrain.ranks import Ranks

BY = "in a training in several processes (2 here)"


@pytest.fixture
def first_of_two(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """This process is rank 0 of 2, and ends by an exception instead of at once."""
    place = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setattr(main, "leave", lambda code, ranks: sys.exit(code))
    return monkeypatch


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("strategy=probe", f"strategy must be scratch or finetune {BY}, got 'probe'."),
        ("strategy=probe_finetune", f"strategy must be scratch or finetune {BY}, got"),
        ("strategy=budget budget.minutes=1", f"strategy must be scratch or finetune {BY}, got"),
        ("tune=auto", f"tune must be off {BY}, got 'auto'."),
        ("batch_size=1", f"batch_size must be at least 2 {BY}, got 1."),
        ("fault.out_of_memory=halve", f"fault.out_of_memory must be stop {BY}, got 'halve'."),
        ("device=cuda:1", "device must be cuda (each process takes one), cpu or null"),
        ("--multirun seed=1,2", "A sweep or search (--multirun) must run in one process, got 2"),
    ],
)
def test_refused(
    pochi: Callable[..., Any],
    first_of_two: pytest.MonkeyPatch,
    tmp_path: Path,
    typed: str,
    message: str,
) -> None:
    ended = pochi(*typed.split())
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(message)
    assert len(ended.err.splitlines()) == 1
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("command", [name for name in main.COMMANDS if name != "train"])
def test_other_commands_are_for_one_process(
    pochi: Callable[..., Any], first_of_two: pytest.MonkeyPatch, command: str
) -> None:
    ended = pochi(command=command, prog="pochi")
    assert ended.code == 2
    text = f"pochi {command} must run in one process, got 2 started by torchrun."
    assert ended.err.startswith(text)


def test_a_trial_is_for_one_process(
    pochi: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """submitit starts `hydra.launcher.tasks_per_node` of them."""
    monkeypatch.setattr(app, "find_ranks", lambda: Ranks(0, 2, 0, 2, "srun"))
    ended = pochi("--multirun", "optuna=default", "optuna.n_trials=1", "data=digits")
    assert ended.code == 2
    assert "A trial of a search (hydra.launcher.tasks_per_node) must run in one" in ended.err


def test_others_are_silent(pochi: Callable[..., Any], first_of_two: pytest.MonkeyPatch) -> None:
    """They find the same mistake, and leave it to the first to say so."""
    first_of_two.setenv("RANK", "1")
    first_of_two.setenv("LOCAL_RANK", "1")
    first_of_two.setattr(main, "LINGER_S", 0)
    before = sys.stdout
    ended = pochi("batch_size=1")
    sys.stdout.close()
    sys.stdout = before
    assert (ended.code, ended.out, ended.err) == (2, "", "")


def test_what_has_no_effect_in_one_process() -> None:
    cfg = OmegaConf.create(
        {
            "sync_batch_norm": False,
            "batch_size": 8,
            "data": {},
            "tune": "off",
            "fault": {"out_of_memory": "stop"},
            "device": None,
        }
    )
    assert check_processes(cfg, Ranks()) == ["sync_batch_norm has no effect in one process."]
    assert check_processes(cfg, Ranks(0, 2)) == []
