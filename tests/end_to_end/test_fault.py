"""What goes wrong outside our code ends a run with one message, and loses nothing."""

import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from fault_program import Program, run_differences, wait_until_stopped


def test_nan_loss_stops(program: Program) -> None:
    options = ["model._target_=fault_part.build_poisoned", "checkpoint.every_steps=1"]
    ended = program.run(*program.tiny("nan", *options), POISON="8")
    assert ended.code == 1, ended.text
    assert "The loss became nan in epoch 2, batch 3. Pictures of the batch: " in ended.text
    assert ended.text.count(".png") == 8
    assert "fault.nonfinite=skip" in ended.text
    assert "Traceback" not in ended.text
    saved = torch.load(program.only_run("nan") / "models" / "last.pth", weights_only=True)
    assert (saved["epoch"], saved["batch"]) == (1, 2)  # from before the bad batch
    assert all(tensor.isfinite().all() for tensor in saved["model"].values())


def test_nan_loss_is_skipped(program: Program) -> None:
    options = ["model._target_=fault_part.build_poisoned", "fault.nonfinite=skip"]
    ended = program.run(*program.tiny("skip", *options), POISON="1,8")
    assert ended.code == 0, ended.text
    assert ended.text.count("Left out epoch") == 2
    saved = torch.load(program.only_run("skip") / "models" / "last.pth", weights_only=True)
    assert saved["num_skipped"] == 2
    assert saved["step"] == 3 * 6 - 2
    rows = (program.only_run("skip") / "training_metrics.csv").read_text().splitlines()
    assert len(rows) == 4
    assert "nan" not in "".join(rows)


def test_only_nan_losses_stop_a_skipping_run(program: Program) -> None:
    options = ["model._target_=fault_part.build_poisoned", "fault.nonfinite=skip"]
    ended = program.run(*program.tiny("all", *options), POISON="0,1,2,3,4,5")
    assert ended.code == 1
    assert "No batch of epoch 1 had a finite loss" in ended.text


def test_out_of_memory_stops(program: Program) -> None:
    options = ["model._target_=fault_part.build_hungry", "gradient_accumulation=2"]
    ended = program.run(*program.tiny("hungry", *options), ROOM="4")
    assert ended.code == 1, ended.text
    assert "got 8 pictures of 16 px (CUDA out of memory." in ended.text
    assert "Use batch_size=4 gradient_accumulation=4" in ended.text


def test_out_of_memory_halves(program: Program) -> None:
    """Two halvings; every optimizer step still sees the whole batch."""
    options = ["model._target_=fault_part.build_hungry", "fault.out_of_memory=halve"]
    ended = program.run(*program.tiny("halve", *options), ROOM="2")
    assert ended.code == 0, ended.text
    assert "in 4 parts from now on, as batch_size=2 gradient_accumulation=4 would" in ended.text
    saved = torch.load(program.only_run("halve") / "models" / "last.pth", weights_only=True)
    assert (saved["num_microbatches"], saved["step"]) == (4, 3 * 6)


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [0, 2])
def test_picture_vanishes(program: Program, num_workers: int, tmp_path: Path) -> None:
    """The run ends, is put right, and is then what it would have been."""
    workers = f"data.num_workers={num_workers}"
    whole = program.run(*program.tiny(f"there-{num_workers}"))
    assert whole.code == 0, whole.text
    name = f"gone-{num_workers}"
    victim, away = program.dataset / "val" / "red" / "02.png", tmp_path / "away.png"
    pid = program.start(*program.tiny(name, workers), SIGNAL_AT="SIGSTOP:batch:1:2")
    wait_until_stopped(pid)
    os.rename(victim, away)
    os.kill(pid, signal.SIGCONT)
    ended = program.wait(pid)
    os.rename(away, victim)
    assert ended.code == 1, ended.text
    lines = ended.text.splitlines()
    assert f"Cannot read {victim}: the file is gone." in lines
    assert lines[-1].startswith("To continue: python train.py resume=")
    resumed = program.run(*program.tiny(name, workers, "resume=auto"))
    assert resumed.code == 0, resumed.text
    assert "after 1 of 3 epochs and 6 batches" in resumed.text
    found = run_differences(program.only_run(f"there-{num_workers}"), program.only_run(name))
    assert found == []


@pytest.mark.slow
def test_worker_is_killed(program: Program) -> None:
    pid = program.start(
        *program.tiny("worker", "data.num_workers=1"), SIGNAL_AT="SIGSTOP:batch:0:2"
    )
    wait_until_stopped(pid)
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    os.kill(pid, signal.SIGCONT)
    ended = program.wait(pid)
    assert ended.code == 1, ended.text
    assert "A process that loads pictures ended" in ended.text
    assert "data.num_workers=0" in ended.text
    assert "Traceback" not in ended.text


def test_run_directory_is_deleted(program: Program) -> None:
    pid = program.start(*program.tiny("deleted"), SIGNAL_AT="SIGSTOP:batch:1:2")
    wait_until_stopped(pid)
    run = program.only_run("deleted")
    shutil.rmtree(run)
    os.kill(pid, signal.SIGCONT)
    ended = program.wait(pid)
    assert ended.code == 1, ended.text
    gone = f"The run directory {run.relative_to(program.folder)} is gone: it was deleted, moved or"
    assert ended.text.splitlines()[-1].startswith(gone)
    assert "Traceback" not in ended.text


def test_live_run_is_not_resumed(program: Program) -> None:
    pid = program.start(*program.tiny("alive"), SIGNAL_AT="SIGSTOP:batch:0:2")
    wait_until_stopped(pid)
    try:
        run = program.only_run("alive")
        ended = program.run(f"resume={run}")
        assert ended.code == 2
        assert "which another process is training" in ended.text
    finally:
        os.kill(pid, signal.SIGKILL)
        program.wait(pid)
