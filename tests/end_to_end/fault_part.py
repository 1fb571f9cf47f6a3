"""Parts that the fault tests put into runs by `_target_`: a tiny model, and ways to break a run."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from torch import Tensor, nn

import pochitrain.atomic
from pochitrain.engine.callback import Callback
from pochitrain.engine.state import TrainState


class TinyNet(nn.Module):
    """Has what a resume can forget: batch-norm statistics and dropout, for images of any size."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, stride=2)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = nn.Conv2d(8, 8, 3, stride=2)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(8, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        features = self.layer1(self.bn1(self.conv1(images)).relu()).relu().mean(dim=(2, 3))
        return self.fc(self.dropout(features))


def build_tiny(*, num_classes: int, **_: object) -> nn.Module:
    return TinyNet(num_classes)


class PoisonedNet(TinyNet):
    """Gives NaN for the batches (0-based, counted in training) in POISON, such as "3" or "2,5"."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.poisoned = {int(word) for word in os.environ["POISON"].split(",")}
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        if self.training:
            if self.calls in self.poisoned:
                logits = logits * float("nan")
            self.calls += 1
        return logits


class StoppedNet(TinyNet):
    """Sends SIGINT in its evaluation number STOP_IN_EVALUATION (0-based, whichever the copy)."""

    calls = 0

    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            if str(StoppedNet.calls) == os.environ.get("STOP_IN_EVALUATION"):
                os.kill(os.getpid(), signal.SIGINT)
            StoppedNet.calls += 1
        return super().forward(images)


class HungryNet(TinyNet):
    """Has memory for as many images as ROOM says."""

    def forward(self, images: Tensor) -> Tensor:
        if self.training and len(images) > int(os.environ["ROOM"]):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return super().forward(images)


class SleepyNet(TinyNet):
    """Needs a minute for its third batch."""

    calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == 3:
            print("asleep", flush=True)
            time.sleep(60)
        return super().forward(images)


def build_sleepy(*, num_classes: int, **_: object) -> nn.Module:
    return SleepyNet(num_classes)


def build_poisoned(*, num_classes: int, **_: object) -> nn.Module:
    return PoisonedNet(num_classes)


def build_stopped(*, num_classes: int, **_: object) -> nn.Module:
    return StoppedNet(num_classes)


def build_hungry(*, num_classes: int, **_: object) -> nn.Module:
    return HungryNet(num_classes)


class Counter(Callback):
    """A callback of a user's that remembers something, and changes it in place."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {"batches": 0, "epochs": [], "mean": np.float64(0)}

    def on_batch_end(self, state: TrainState) -> None:
        self.seen["batches"] += 1

    def on_epoch_end(self, state: TrainState) -> None:
        self.seen["epochs"].append({"epoch": state.epoch})
        self.seen["mean"] = np.mean([record.train_loss for record in state.history])
        state.history[-1].extra["mean_loss"] = float(self.seen["mean"])

    def state_dict(self) -> dict[str, Any]:
        return self.seen

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.seen = saved


class SignalAt(Callback):
    """Sends this process a signal at an event.

    The environment variable SIGNAL_AT is `signal:event:epoch:batch`, such as `SIGKILL:batch:1:3`.
    Events: `batch`, `validation` and `epoch_end` as in the callbacks, `write` in the middle of
    writing a checkpoint, `fit_end`. Without it nothing happens, so that both parts of a run have
    the same config. SIGNAL_JOB, if given, is the number of the only job of a sweep that fires.
    """

    def __init__(self) -> None:
        wanted = os.environ.get("SIGNAL_AT") or "0:::"
        if os.environ.get("SIGNAL_JOB", "") not in ("", str(HydraConfig.get().job.get("num"))):
            wanted = "0:::"
        name, event, epoch, batch = wanted.split(":")
        self.signal = name
        self.place = (event, epoch, batch)

    def check(self, event: str, state: TrainState) -> None:
        if self.place == (event, str(state.epoch), str(state.batch)):
            self.fire()

    def fire(self) -> None:
        if self.signal.endswith("+GROUP"):
            os.killpg(0, signal.Signals[self.signal.removesuffix("+GROUP")])
        else:
            os.kill(os.getpid(), signal.Signals[self.signal])

    def on_fit_start(self, state: TrainState) -> None:
        if self.place[0] == "write":
            self.break_writes(int(self.place[1]))

    def break_writes(self, number: int) -> None:
        """Fire in the middle of the checkpoint number `number` (0-based) of this process."""
        original = pochitrain.atomic.os.replace
        seen = 0

        def replace(source: str | Path, target: str | Path) -> None:
            nonlocal seen
            if str(target).endswith("last.pth"):
                if seen == number:
                    with open(source, "r+b") as file:  # half of it reached the disk
                        file.truncate(Path(source).stat().st_size // 2)
                    self.fire()
                seen += 1
            original(source, target)

        pochitrain.atomic.os.replace = replace  # type: ignore[attr-defined]

    def on_batch_end(self, state: TrainState) -> None:
        self.check("batch", state)

    def on_validation_start(self, state: TrainState) -> None:
        self.check("validation", state)

    def on_epoch_end(self, state: TrainState) -> None:
        self.check("epoch_end", state)

    def on_fit_end(self, state: TrainState) -> None:
        self.check("fit_end", state)
