"""Writing, keeping and reading checkpoints."""

import errno
import os
import threading
from collections import Counter, OrderedDict, deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    ReduceLROnPlateau,
    StepLR,
)

from pochitrain.engine.callback import Callback
from pochitrain.engine.checkpoint import (
    CheckpointWriter,
    callback_names,
    finish_best,
    load_checkpoint,
    restore_callback_states,
)
from pochitrain.engine.snapshot import snapshot
from pochitrain.engine.state import EpochRecord, Monitor, RunningMetrics, TrainState
from pochitrain.error import ConfigError, PochiError
from pochitrain.scheduler.warm_up import WarmUp, step_scheduler

SCHEDULERS: dict[str, Any] = {
    "none": lambda o: ConstantLR(o, factor=1.0, total_iters=0),
    "steplr": lambda o: StepLR(o, 2),
    "multisteplr": lambda o: MultiStepLR(o, [2, 3]),
    "cosineannealinglr": lambda o: CosineAnnealingLR(o, 6),
    "exponentiallr": lambda o: ExponentialLR(o, 0.9),
    "linearlr": lambda o: LinearLR(o, 1.0, 0.1, 5),
    "plateau": lambda o: ReduceLROnPlateau(o, patience=1),
    "warm_up": lambda o: WarmUp(CosineAnnealingLR(o, 6), 3, 0.1),
}


def make_state(scheduler: Any = SCHEDULERS["none"]) -> TrainState:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    made: LRScheduler = scheduler(optimizer)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    monitor, sums = Monitor("val_accuracy"), RunningMetrics(torch.device("cpu"))
    return TrainState(model, optimizer, made, scaler, monitor, 10, sums)


def train_an_epoch(state: TrainState, accuracy: float = 50.0) -> None:
    loss = state.model(torch.ones(4, 3)).square().mean()
    state.optimizer.zero_grad()
    torch.autograd.backward(loss)
    state.optimizer.step()
    state.step += 1
    state.epoch += 1
    rate = state.optimizer.param_groups[0]["lr"]
    state.record(EpochRecord(state.epoch, rate, loss.item(), 0.0, 1.0, accuracy))
    step_scheduler(state.scheduler, 1.0)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_goes_on_as_if_never_stopped(name: str, tmp_path: Path) -> None:
    whole = make_state(SCHEDULERS[name])
    writer = CheckpointWriter(tmp_path, {})
    for epoch in range(6):
        if epoch == 3:
            writer.save_last(whole, [])
        train_an_epoch(whole)
    writer.finish()
    resumed = make_state(SCHEDULERS[name])
    resumed.load_state_dict(load_checkpoint(tmp_path / "last.pth"))
    for _ in range(3):
        train_an_epoch(resumed)
    assert resumed.history == whole.history
    assert torch.equal(resumed.model.weight, whole.model.weight)


def test_a_checkpoint_is_of_the_moment_it_was_asked_for(tmp_path: Path) -> None:
    """Training goes on while the file is written."""
    state = make_state()
    release = threading.Event()
    writer = CheckpointWriter(tmp_path, {})
    write = writer.write
    writer.write = lambda *args: (release.wait(10), write(*args))[1]  # type: ignore[method-assign]
    before = state.model.weight.detach().clone()
    writer.save_last(state, [])
    train_an_epoch(state)
    release.set()
    writer.finish()
    saved = load_checkpoint(tmp_path / "last.pth")
    assert saved["epoch"] == 0
    assert torch.equal(saved["model"]["weight"], before)
    assert not torch.equal(state.model.weight, before)


def saved_epochs(folder: Path) -> dict[str, int]:
    return {p.name: load_checkpoint(p)["epoch"] for p in sorted(folder.glob("*.pth"))}


@pytest.mark.parametrize("keep_last", [1, 2, 3])
def test_keep_last(keep_last: int, tmp_path: Path) -> None:
    state = make_state()
    writer = CheckpointWriter(tmp_path, {}, keep_last=keep_last)
    for accuracy in (50.0, 80.0, 60.0, 70.0, 10.0):
        train_an_epoch(state, accuracy)
        writer.end_of_epoch(state, [])
    writer.finish()
    expected = {"best.pth": 2, "last.pth": 5, "last_1.pth": 4, "last_2.pth": 3}
    kept = ["best.pth", "last.pth", "last_1.pth", "last_2.pth"][: keep_last + 1]
    assert saved_epochs(tmp_path) == {name: expected[name] for name in kept}


def test_earlier_ones_stay_until_the_new_one_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk in the middle of a write costs none of those before; nor do files of the user."""
    state = make_state()
    writer = CheckpointWriter(tmp_path, {}, in_background=False)
    (tmp_path / "last_copy.pth").write_text("of the user")
    for _ in range(2):
        train_an_epoch(state)
        writer.save_last(state, [])

    def no_space(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pochitrain.atomic.os.fsync", no_space)
    train_an_epoch(state)
    with pytest.raises(PochiError, match="Cannot write the checkpoint"):
        writer.save_last(state, [])
    assert (tmp_path / "last_copy.pth").exists()
    (tmp_path / "last_copy.pth").unlink()
    assert saved_epochs(tmp_path) == {"last.pth": 2, "last_1.pth": 1}


def test_fewer_are_kept_from_now_on(tmp_path: Path) -> None:
    state = make_state()
    for keep_last in (3, 3, 3, 1):
        writer = CheckpointWriter(tmp_path, {}, keep_last=keep_last)
        writer.save_last(state, [])
        writer.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["last.pth"]


@pytest.mark.parametrize("background", [True, False])
def test_full_disk(background: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpoint before stays readable, no scrap is left, and the error says what to do."""
    state = make_state()
    writer = CheckpointWriter(tmp_path, {}, in_background=background)
    train_an_epoch(state)
    writer.save_last(state, [])
    writer.finish()

    def no_space(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pochitrain.atomic.os.fsync", no_space)
    train_an_epoch(state)
    with pytest.raises(PochiError, match=r"\(No space left.* MB free.*before it is complete"):
        writer.save_last(state, [])
        writer.finish()
    assert load_checkpoint(tmp_path / "last.pth")["epoch"] == 1
    assert not list(tmp_path.glob(".*"))


def test_the_file_system_itself_refuses(tmp_path: Path) -> None:
    """A real refusal by the system: files of this process may not grow beyond 2 kB."""
    import resource

    writer = CheckpointWriter(tmp_path, {"padding": torch.zeros(10_000)}, in_background=False)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        # What the system said, not torch's second error; and there is none before it.
        with pytest.raises(PochiError, match=r"last.pth \(File too large, .* MB free there\)\.$"):
            writer.save_last(make_state(), [])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_folder_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    writer = CheckpointWriter(tmp_path / "models", {}, in_background=False)
    with pytest.raises(PochiError, match="Cannot write the checkpoint"):
        writer.save_last(make_state(), [])


def test_every_steps_and_minutes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    now = [0.0]
    monkeypatch.setattr("pochitrain.engine.checkpoint.time.monotonic", lambda: now[0])
    state = make_state()
    by_steps = CheckpointWriter(tmp_path, {}, every_steps=3, written=0.0)
    by_minutes = CheckpointWriter(tmp_path, {}, every_minutes=2, written=0.0)
    assert not by_steps.is_due(state) and not by_minutes.is_due(state)
    state.step, now[0] = 3, 120.0
    assert by_steps.is_due(state) and by_minutes.is_due(state)
    by_steps.save_last(state, [])
    by_minutes.save_last(state, [])
    state.step, now[0] = 5, 239.0
    assert not by_steps.is_due(state) and not by_minutes.is_due(state)
    by_steps.finish()
    by_minutes.finish()


class Memo(Callback):
    def __init__(self, word: str = "") -> None:
        self.word = word

    def state_dict(self) -> dict[str, Any]:
        return {"word": self.word}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.word = saved["word"]


def test_two_callbacks_of_a_class_keep_their_own_state(tmp_path: Path) -> None:
    writer = CheckpointWriter(tmp_path, {})
    writer.save_last(make_state(), [Memo("a"), Callback(), Memo("b")])
    writer.finish()
    made = [Memo(), Callback(), Memo()]
    assert callback_names(made) == ["Memo", "Callback", "Memo_2"]
    restore_callback_states(made, load_checkpoint(tmp_path / "last.pth")["callbacks"])
    assert (made[0].word, made[2].word) == ("a", "b")  # type: ignore[attr-defined]


def test_snapshot_keeps_kinds_and_copies_tensors() -> None:
    tensor = torch.ones(2)
    value = {"a": Counter({1: 2}), "b": OrderedDict(x=tensor), "c": (1, [tensor])}
    copied = snapshot(value)
    tensor.zero_()
    assert copied["a"] == Counter({1: 2}) and type(copied["a"]) is Counter
    assert copied["b"]["x"].tolist() == [1, 1] and type(copied["b"]) is OrderedDict
    assert copied["c"][1][0].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (deque([1]), "collections.deque"),
        (np.zeros(2), "numpy.ndarray"),
        ({Path("x"): 1}, "PosixPath"),
    ],
)
def test_what_could_not_be_read_back_is_refused_when_it_is_saved(value: object, kind: str) -> None:
    with pytest.raises(PochiError, match=rf"got callbacks\.Mine\.a\S* of type \S*{kind}"):
        snapshot({"callbacks": {"Mine": {"a": value}}})


def test_numpy_numbers_are_saved_as_plain_ones(tmp_path: Path) -> None:
    writer = CheckpointWriter(tmp_path, {"mean": np.float64(0.5), "classes": {1, 2}})
    writer.save_last(make_state(), [])
    writer.finish()
    saved = load_checkpoint(tmp_path / "last.pth")
    assert type(saved["mean"]) is float and saved["classes"] == {1, 2}


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02}q\x00."])
def test_damaged(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "last.pth"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"damaged|not a checkpoint"):
        load_checkpoint(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated(share: float, tmp_path: Path) -> None:
    writer = CheckpointWriter(tmp_path, {}, in_background=False)
    writer.save_last(make_state(), [])
    path = tmp_path / "last.pth"
    with open(path, "r+b") as file:
        file.truncate(int(path.stat().st_size * share))
    with pytest.raises(ConfigError, match="damaged or truncated") as caught:
        load_checkpoint(path)
    assert caught.value.__cause__ is not None, "HYDRA_FULL_ERROR=1 shows what the reader said"


def write_epochs(state: TrainState, writer: CheckpointWriter, accuracies: list[float]) -> None:
    for accuracy in accuracies:
        train_an_epoch(state, accuracy)
        writer.end_of_epoch(state, [])
    writer.finish()


def test_the_best_of_short_epochs_waits_and_is_written_with_the_next(tmp_path: Path) -> None:
    state, writer = make_state(), CheckpointWriter(tmp_path, {}, least_s=1000.0)
    write_epochs(state, writer, [50.0, 70.0, 60.0])
    assert saved_epochs(tmp_path) == {}
    second = [record.train_loss for record in state.history]
    writer.save_last(state, [])  # as after a signal
    writer.finish()
    assert saved_epochs(tmp_path) == {"best.pth": 2, "last.pth": 3}
    history = load_checkpoint(tmp_path / "best.pth")["history"]
    assert [record["train_loss"] for record in history] == second[:2]
    state.epochs = 5
    write_epochs(state, writer, [65.0, 80.0])  # the last epoch is always written
    assert saved_epochs(tmp_path) == {"best.pth": 5, "last.pth": 5, "last_1.pth": 3}


@pytest.mark.parametrize(("known", "left"), [(2, 2), (1, 1), (None, 1)])
def test_a_killed_run_finishes_or_forgets_the_best_epoch(
    tmp_path: Path, known: int | None, left: int
) -> None:
    """.best.next is on disk; last.pth was replaced (it knows epoch 2) or not (it knows 1)."""
    state, writer = make_state(), CheckpointWriter(tmp_path, {})
    write_epochs(state, writer, [50.0])
    train_an_epoch(state, 70.0)
    torch.save(writer.content(state, []), tmp_path / ".best.next")
    finish_best(tmp_path, known)
    assert saved_epochs(tmp_path)["best.pth"] == left
    assert not (tmp_path / ".best.next").exists()
    finish_best(tmp_path, known)  # there is nothing to do any more


def test_best_is_replaced_only_by_another_epoch(tmp_path: Path) -> None:
    state, writer = make_state(), CheckpointWriter(tmp_path, {})
    write_epochs(state, writer, [50.0])
    best, last = tmp_path / "best.pth", tmp_path / "last.pth"
    before = best.read_bytes()
    # A run that is stopped before the first batch of epoch 2 saves epoch 1 again.
    writer.metadata["callbacks_have_begun_the_next_epoch"] = True
    writer.save_last(state, [])
    writer.finish()
    finish_best(tmp_path, 1, last)
    assert best.read_bytes() == before != last.read_bytes()

    write_epochs(state, writer, [70.0])
    best.unlink()  # it is a link to last.pth
    best.write_bytes(before)  # as if killed between writing the two
    finish_best(tmp_path, 2, last)
    assert best.read_bytes() == last.read_bytes()
    best.unlink()
    finish_best(tmp_path, 2, last)
    assert saved_epochs(tmp_path)["best.pth"] == 2


def test_a_frozen_tensor_is_not_copied() -> None:
    one, other = torch.ones(3), torch.ones(3)
    copied = snapshot({"a": [one], "b": other}, frozen={one.data_ptr(): one})
    one += 1
    other += 1
    assert copied["a"][0] is one
    assert copied["b"].tolist() == [1.0] * 3


def test_the_first_checkpoint_makes_its_folder_and_those_above_survive_a_power_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr("pochitrain.engine.checkpoint.sync_directory", synced.append)
    folder = tmp_path / "run" / "models"
    folder.parent.mkdir()
    writer, state = CheckpointWriter(folder, {}, in_background=False), make_state()
    writer.save_last(state, [])
    assert synced == [folder.parent, tmp_path]
    writer.save_last(state, [])
    assert synced == [folder.parent, tmp_path, folder]  # the link to the one before, as always
