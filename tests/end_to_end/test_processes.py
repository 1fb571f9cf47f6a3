"""Training in several processes gives what one process gives, and ends as one does."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from fault_program import Ended, Program, run_differences, wait_until_stopped
from together import LIMIT_S, SRUN, Launcher

from pochitrain.data.folder import ImageFolderDataset
from pochitrain.inference.classifier import load_classifier
from pochitrain.inference.stream import classify
from pochitrain.run.selection import FILE as OPTIMISM
from pochitrain.text import read_object

SGD = ("optimizer=sgd", "optimizer.momentum=0.9", "learning_rate=0.05")
"""Not Adam, which makes a large step of the rounding error of a gradient that is zero: that of a
bias in front of batch norm."""


@pytest.fixture(scope="module")
def launcher(program: Program) -> Launcher:
    return Launcher(program)


def arguments(program: Program, work_dir: str, *more: str) -> list[str]:
    """Of a run without dropout."""
    words = [w for w in program.tiny(work_dir) if "callbacks" not in w and "targets" not in w]
    targets = "allow_targets=[rank_part.*,fault_part.*]"
    signals = "+callbacks.fault._target_=rank_part.SignalRank"
    return [*words, "model._target_=rank_part.build_plain", targets, signals, *more]


def with_dropout(program: Program, work_dir: str, *more: str) -> list[str]:
    """Of a run in which the random numbers of each process count."""
    return arguments(program, work_dir, "model._target_=fault_part.build_tiny", *more)


def run_alone(program: Program, *argv: str) -> Ended:
    return program.run(*argv, NO_GRAPHS="1")


def load(run: Path, name: str = "last.pth") -> dict[str, Any]:
    return torch.load(run / "models" / name, weights_only=True)  # type: ignore[no-any-return]


def require_equal(one: Path, many: Path) -> None:
    """Counts exactly, sums of floats to rounding."""
    left, right = (pd.read_csv(run / "training_metrics.csv") for run in (one, many))
    counted = [name for name in left if not name.endswith("loss")]
    assert left[counted].equals(right[counted])
    np.testing.assert_allclose(left, right, rtol=1e-5)
    assert (one / "confusion_matrix.csv").read_text() == (many / "confusion_matrix.csv").read_text()
    said, said_together = (pd.read_csv(run / "val_predictions.csv") for run in (one, many))
    assert said.drop(columns="confidence").equals(said_together.drop(columns="confidence"))
    np.testing.assert_allclose(said["confidence"], said_together["confidence"], rtol=1e-4)
    lucky, lucky_together = (read_object(run / OPTIMISM) for run in (one, many))
    assert lucky and lucky == lucky_together
    a, b = load(one), load(many)
    assert a.keys() == b.keys() and a["model"].keys() == b["model"].keys()
    for name, tensor in a["model"].items():
        torch.testing.assert_close(tensor, b["model"][name], rtol=1e-4, atol=2e-6, msg=name)


CASES = [
    # Batches of 7 are 3 + 4 images; a step of 2 of them; the last batch of the epoch has 6.
    (2, ["batch_size=7", "gradient_accumulation=2", "ema_decay=0.9", "gradient_clip_norm=0.5"]),
    # The last batch has 2 images for 3 processes, the last one of validation none.
    (3, ["batch_size=23", "loss=manual", "loss.class_weights=[1,2,3]"]),
    # What is trained changes; loader processes; rates by layer.
    (2, ["model.freeze=1", "data.num_workers=1", "layer_wise_lr=decay"]),
]


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(CASES)))
def test_several_processes_are_one(program: Program, launcher: Launcher, number: int) -> None:
    num, options = CASES[number]
    one = run_alone(program, *arguments(program, f"one-{number}", *SGD, *options))
    assert one.code == 0, one.text
    many = launcher.run(num, *arguments(program, f"many-{number}", *SGD, *options))
    assert many.codes == [0] * num, many.text
    require_equal(program.only_run(f"one-{number}"), program.only_run(f"many-{number}"))
    assert f"{num} processes (environment), each on cpu" in many.ended[0].text
    assert all(ended.text == "" for ended in many.ended[1:]), many.text


def test_checkpoint_is_an_ordinary_one(program: Program, launcher: Launcher) -> None:
    """Others read it, and know nothing of several processes."""
    many = launcher.run(2, *arguments(program, "ordinary", "epochs=1", "ema_decay=0.9"))
    assert many.codes == [0, 0], many.text
    run = program.only_run("ordinary")
    files = sorted(map(str, (program.dataset / "val").glob("*/*.png")))
    classifier = load_classifier(run, "cpu", ["rank_part.*", "fault_part.*"])
    answers = classify(classifier, ImageFolderDataset(files, [0] * 12), 4, 0)
    predicted = np.zeros((3, 3), int)
    np.add.at(predicted, (np.repeat([0, 1, 2], 4), answers.logits.argmax(1).numpy()), 1)
    table = pd.read_csv(run / "confusion_matrix.csv", index_col=0)
    assert table.to_numpy().tolist() == predicted.tolist()


def stop_and_go_on(
    program: Program, launcher: Launcher, name: str, place: str, rank: int, code: int
) -> Path:
    """The run after a signal to one process, gone on with."""
    argv = with_dropout(program, name, "checkpoint.every_steps=2", "ema_decay=0.9")
    stopped = launcher.run(2, *argv, SIGNAL_AT=place, SIGNAL_RANK=str(rank))
    killed = place.startswith("SIGKILL")
    expected = [-9 if killed and i == rank else code for i in range(2)]
    assert stopped.codes == expected, stopped.text
    assert stopped.text.count("To continue: ") == 1
    lost = f"Rank {rank} (process"
    assert stopped.text.count(lost) == int(killed), stopped.text
    assert "Traceback" not in stopped.text
    for file in program.only_run(name).glob("models/*.pth"):  # nothing half-written
        torch.load(file, weights_only=True)
    resumed = launcher.run(2, *argv, "resume=auto")
    assert resumed.codes == [0, 0], resumed.text
    assert "Resuming" in resumed.ended[0].text
    return program.only_run(name)


@pytest.fixture(scope="module")
def whole(program: Program, launcher: Launcher) -> Path:
    """The run that nobody disturbed."""
    argv = with_dropout(program, "whole", "checkpoint.every_steps=2", "ema_decay=0.9")
    ended = launcher.run(2, *argv)
    assert ended.codes == [0, 0], ended.text
    return program.only_run("whole")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "rank", "code"),
    [
        ("SIGTERM:batch:1:3", 1, 143),
        ("SIGINT:validation:1:6", 0, 130),
        ("SIGKILL:batch:1:3", 1, 1),
        ("SIGKILL:validation:1:6", 0, 1),
        ("SIGKILL:write:3:", 0, 1),
    ],
)
def test_stop_and_go_on(
    program: Program, launcher: Launcher, whole: Path, place: str, rank: int, code: int
) -> None:
    """Bit for bit, dropout included, and with nobody left behind."""
    name = place.replace(":", "-")
    run = stop_and_go_on(program, launcher, name, place, rank, code)
    assert run_differences(whole, run) == []


@pytest.mark.slow
def test_go_on_with_another_number(program: Program, launcher: Launcher) -> None:
    """From two processes to three to one, in the middle of epochs: as without a stop."""
    argv = arguments(program, "numbers", *SGD)
    for num, place in ((2, "SIGTERM:batch:0:3"), (3, "SIGTERM:batch:1:2")):
        stopped = launcher.run(num, *argv, "resume=auto", SIGNAL_AT=place, SIGNAL_RANK="1")
        assert stopped.codes == [143] * num, stopped.text
    last = run_alone(program, *argv, "resume=auto")
    assert last.code == 0, last.text
    one = run_alone(program, *arguments(program, "number", *SGD))
    assert one.code == 0, one.text
    require_equal(program.only_run("number"), program.only_run("numbers"))


def test_signal_to_all(program: Program, launcher: Launcher) -> None:
    """As srun passes Ctrl+C on: every process saves, one tells."""
    argv = with_dropout(program, "all")
    env = {"SIGNAL_AT": "SIGINT+GROUP:batch:1:3", "SIGNAL_RANK": "all"}
    stopped = launcher.run(2, *argv, **SRUN, **env)
    assert stopped.codes == [130, 130], stopped.text
    assert stopped.text.count("Stopped by SIGINT in epoch 2, after 3 of 6 batches.") == 1
    assert stopped.text.count("finishing the batch") == 1
    assert stopped.text.count("To continue: srun --ntasks=2 ") == 1
    saved = load(program.only_run("all"))
    assert (saved["epoch"], saved["batch"]) == (1, 3)
    assert len(saved["random"]["others"]) == 1


def test_all_wait_until_the_first_has_saved(program: Program, launcher: Launcher) -> None:
    argv = with_dropout(program, "slow", "callbacks.fault._target_=rank_part.SlowToSave")
    stopped = launcher.run(2, *argv, SIGNAL_AT="SIGTERM:batch:0:3", SIGNAL_RANK="1")
    assert stopped.codes == [143, 143], stopped.text
    saved = load(program.only_run("slow"))
    assert (saved["epoch"], saved["batch"]) == (0, 3)


def test_mistake_is_told_once(program: Program, launcher: Launcher) -> None:
    before = launcher.start(2, *arguments(program, "wrong", "epochs=-1"))
    code = program.ask({"wait_for": before[0]})["code"]
    assert code == 2 and "epochs must be an integer >= 1" in launcher.output(0).read_text()
    os.kill(before[1], signal.SIGTERM)  # as torchrun does; it would wait for that
    program.ask({"wait_for": before[1]})
    assert launcher.output(1).read_text() == ""
    after = launcher.run(2, *arguments(program, "wrong", "data.train_root=nowhere"))
    assert after.codes == [2, 2]
    assert after.text.count("data.train_root must be") == 1
    assert not (program.folder / "wrong").exists()


def test_mistake_that_only_the_first_finds(program: Program, launcher: Launcher) -> None:
    """It holds the store in which the others would look for the reason, and ends at once."""
    ended = launcher.run(2, *arguments(program, "wrong", "resume=nowhere"))
    assert ended.codes == [2, 2], ended.text
    assert ended.ended[0].text.startswith("resume must be auto or a run directory")
    assert ended.ended[1].text == ""


def test_picture_of_one_process_vanishes(program: Program, launcher: Launcher) -> None:
    """All processes save before they end; the one that misses it says so."""
    argv = with_dropout(program, "gone", "data.cache=off")
    victim = program.dataset / "val" / "red" / "03.png"  # the last one is for the last process
    pids = launcher.start(2, *argv, SIGNAL_AT="SIGSTOP:batch:1:2", SIGNAL_RANK="1")
    wait_until_stopped(pids[1])
    away = victim.rename(victim.with_suffix(".away"))
    try:
        os.kill(pids[1], signal.SIGCONT)
        ended = launcher.wait(pids)
    finally:
        away.rename(victim)
    assert ended.codes == [1, 1], ended.text
    assert f"[rank 1] Cannot read {victim}: the file is gone." in ended.ended[1].text
    assert ended.text.count("To continue: ") == 1
    saved = load(program.only_run("gone"))
    assert (saved["epoch"], saved["batch"]) == (1, 6)


def test_nan_is_skipped_by_all(program: Program, launcher: Launcher) -> None:
    options = ["model._target_=rank_part.build_poisoned", "fault.nonfinite=skip"]
    ended = launcher.run(2, *arguments(program, "skip", *SGD, *options), POISON="1,8")
    assert ended.codes == [0, 0], ended.text
    assert ended.text.count("Left out epoch") == 2
    saved = load(program.only_run("skip"))
    assert (saved["num_skipped"], saved["step"]) == (2, 3 * 6 - 2)


def test_error_of_one_process_ends_all(program: Program, launcher: Launcher) -> None:
    options = ["model._target_=rank_part.build_poisoned", "sync_batch_norm=false"]
    ended = launcher.run(2, *arguments(program, "nan", *SGD, *options), POISON="8")
    assert ended.codes == [1, 1], ended.text
    assert ended.text.count("The loss became nan in epoch 2, batch 3.") == 1
    assert "[rank 1] The loss" in ended.ended[1].text  # only there


@pytest.mark.slow
def test_torchrun_starts_again(program: Program) -> None:
    """A killed process costs the steps since the last checkpoint, and no more."""
    argv = with_dropout(program, "elastic", "checkpoint.every_steps=1")
    env = {**os.environ, "SIGNAL_AT": "SIGKILL:batch:1:3", "SIGNAL_RANK": "1"}
    env |= {"PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parent.parent.parent}"}
    env |= {"OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(program.folder / "cache")}
    script = Path(__file__).parent.parent.parent / "train.py"
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    done = subprocess.run(
        [sys.executable, "-m", *launch, str(script), *argv],
        env=env,
        cwd=program.folder,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stderr
    assert "after 1 of 3 epochs and 2 batches" in done.stdout, done.stdout
    status = json.loads((program.only_run("elastic") / "status.json").read_text())
    assert (status["status"], status["epoch"]) == ("finished", 3)
