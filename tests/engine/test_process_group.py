"""Batch norm and gradients of several processes are those of one."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from pochitrain.data.loader import Batch
from pochitrain.data.sampler import EpochBatches
from pochitrain.engine.device import select_device
from pochitrain.engine.fault import out_of_memory_message
from pochitrain.engine.process_group import ALONE, Peers, join_group
from pochitrain.error import ConfigError
from pochitrain.ranks import Ranks

PROGRAM = Path(__file__).parent / "norm_program.py"


def test_three_processes_are_one() -> None:
    """Outputs, gradients and running statistics, with shares of 5, 1 and 3 images."""
    env = {**os.environ, "PYTHONPATH": str(PROGRAM.parent.parent.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(PROGRAM)], capture_output=True, text=True, timeout=120, env=env
    )
    assert done.returncode == 0, done.stderr


def test_one_process_asks_nobody() -> None:
    with join_group(Ranks()) as group:
        assert group is ALONE
    assert ALONE.largest(3, 4) == [3, 4]
    assert ALONE.from_first(lambda: "own") == "own"
    assert ALONE.gather(1) == [1]
    tensor = torch.ones(2)
    ALONE.add_up([tensor])
    assert tensor.tolist() == [1, 1]


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(("count", "size"), [(23, 4), (21, 4), (9, 8), (3, 8)])
def test_shares_make_the_batch(count: int, size: int, shuffle: bool) -> None:
    """In order; the last batch may have fewer images than there are processes."""

    def batches(ranks: Ranks | None) -> list[list[tuple[int, int]]]:
        return list(EpochBatches([0] * count, size, seed=1, shuffle=shuffle, ranks=ranks))

    whole = batches(None)
    plan = EpochBatches([0] * count, size, seed=1, shuffle=shuffle, ranks=Ranks(0, 3))
    shares = [batches(Ranks(rank, 3)) for rank in range(3)]
    for number, batch in enumerate(whole):
        parts = [share[number] if number < len(share) else [] for share in shares]
        if len(batch) >= 3:
            assert sum(parts, []) == batch  # noqa: RUF017
            assert max(map(len, parts)) - min(map(len, parts)) <= 1
            assert plan.num_copies(len(batch)) == 1
        elif shuffle:
            assert parts == [batch] * 3  # each of them computes all of it
            assert plan.num_copies(len(batch)) == 3
        else:
            assert parts == [batch, [], []]
    assert len(plan) == len(whole)


@pytest.mark.parametrize(("is_over", "ends"), [(False, False), (True, True)])
def test_sigterm_waits_for_a_message_only_while_others_train(
    monkeypatch: pytest.MonkeyPatch, is_over: bool, ends: bool
) -> None:
    """Once they have parted, that another process is gone is no reason to ignore it."""
    raised: list[int] = []
    monkeypatch.setattr(signal, "raise_signal", raised.append)
    monkeypatch.setattr(signal, "signal", lambda *args: None)
    group = object.__new__(Peers)
    group.is_over, group.is_ending, group.noticed = is_over, False, threading.Event()
    group.noticed.set()
    group.on_term(signal.SIGTERM, None)
    assert bool(raised) == ends


def test_advice_for_a_batch_that_several_processes_share() -> None:
    """`batch_size` is that of all of them, and they cannot halve it by themselves."""
    share = Batch(torch.zeros(8, 3, 4, 4), torch.zeros(8), torch.arange(8))
    alone, together = (out_of_memory_message(MemoryError(), share, 3, num) for num in (1, 4))
    assert "got 8 pictures" in alone and "batch_size=4 gradient_accumulation=6" in alone
    assert "fault.out_of_memory=halve" in alone
    assert "got 32 pictures of 4 px in 4 processes" in together
    assert "Use batch_size=16 gradient_accumulation=6 " in together
    assert "fault.out_of_memory" not in together


def test_device_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    second = Ranks(1, 2, 1, 2)
    assert select_device("cpu", second) == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert select_device(None, second) == torch.device("cuda:1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)  # srun --gpus-per-task=1
    assert select_device("cuda", second) == torch.device("cuda:0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match="3 processes for 2 GPUs"):
        select_device(None, Ranks(2, 3, 2, 3))
