"""What a run is, at any moment: everything that a resume must bring back."""

import random
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn


@dataclass
class EpochRecord:
    """The numbers of one finished epoch. Accuracies in percent, losses as means."""

    epoch: int
    """1-based."""
    learning_rate: float
    """As configured where rates are layer-wise, else the one used in this epoch."""
    train_loss: float
    train_accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    layer_rates: dict[str, float] = field(default_factory=dict)
    """Name of a layer-wise rule -> learning rate used in this epoch."""
    extra: dict[str, float] = field(default_factory=dict)
    """CSV column -> number that a callback adds (the results of averaged weights)."""

    def value(self, metric: str) -> float:
        """The metric called `metric`; NaN where there was no validation."""
        value = getattr(self, metric)
        return float("nan") if value is None else float(value)


@dataclass
class Monitor:
    """Which metric decides about the best epoch."""

    metric: Literal["val_accuracy", "val_loss", "train_loss"]

    @property
    def higher_is_better(self) -> bool:
        return self.metric == "val_accuracy"

    def improves(self, value: float, best: float | None) -> bool:
        """Strictly better, so that ties keep the earlier epoch; NaN never is."""
        if value != value:
            return False
        if best is None:
            return True
        return value > best if self.higher_is_better else value < best


@dataclass
class Best:
    """The best epoch so far."""

    epoch: int
    value: float
    confusion: Tensor | None
    """Validation confusion matrix, int64, shape (C, C), rows = true class."""


class RunningMetrics:
    """Sums over the samples of an epoch, kept on the device until `result` is asked for."""

    FIELDS = ("loss", "weight", "correct", "samples")

    def __init__(self, device: torch.device) -> None:
        dtype = torch.float32 if device.type == "mps" else torch.float64
        self.values = torch.zeros(len(self.FIELDS), dtype=dtype, device=device)

    def add(self, loss: Tensor, weight: Tensor, correct: Tensor, num_samples: int) -> None:
        """Add one batch: total loss, total weight, right answers."""
        parts = [loss, weight, correct]
        row = torch.stack([part.detach().to(self.values.dtype) for part in parts])
        self.values[:3] += row
        self.values[3] += num_samples

    def result(self) -> tuple[float, float]:
        """Mean loss, and accuracy in percent. Waits for the device."""
        loss, weight, correct, samples = self.values.tolist()
        if samples == 0:
            return float("nan"), float("nan")
        return loss / weight, 100 * correct / samples


@dataclass
class TrainState:
    """Objects being trained, and how far the run has come."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    scaler: torch.amp.GradScaler
    monitor: Monitor
    epochs: int
    """How many epochs the run is to have."""
    sums: RunningMetrics
    """Of the training epoch under way."""
    epoch: int = 0
    """Finished epochs."""
    batch: int = 0
    """Finished batches of the epoch under way."""
    step: int = 0
    """Optimizer steps since the start."""
    num_microbatches: int = 1
    """Parts that a batch is computed in; doubled where the whole does not fit into memory."""
    num_skipped: int = 0
    """Batches left out so far because their loss was NaN or infinite."""
    history: list[EpochRecord] = field(default_factory=list)
    best: Best | None = None
    is_best: bool = False
    """Whether the epoch that has just ended is the best so far."""
    confusion: Tensor | None = None
    """Of the latest validation, int64, shape (C, C), rows = true class."""
    stop_reason: str | None = None
    """Why the run ends before its last epoch; callbacks may set it."""

    def record(self, record: EpochRecord) -> None:
        """Add a finished epoch and update the best one."""
        self.history.append(record)
        value = record.value(self.monitor.metric)
        before = None if self.best is None else self.best.value
        self.is_best = self.monitor.improves(value, before)
        if self.is_best:
            self.best = Best(record.epoch, value, self.confusion)

    def state_dict(self) -> dict[str, Any]:
        """Everything above except configuration, as tensors and plain values."""
        best = None if self.best is None else vars(self.best)
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": random_state(),
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "num_microbatches": self.num_microbatches,
            "num_skipped": self.num_skipped,
            "sums": self.sums.values.cpu(),
            "history": [asdict(record) for record in self.history],
            "best": None if best is None else dict(best),
            "stop_reason": self.stop_reason,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """The reverse of `state_dict`."""
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scheduler.load_state_dict(saved["scheduler"])
        self.scaler.load_state_dict(saved["scaler"])
        self.epoch, self.batch, self.step = saved["epoch"], saved["batch"], saved["step"]
        # "num_parts" until version 1.2.
        self.num_microbatches = saved.get("num_microbatches", saved.get("num_parts", 1))
        self.num_skipped = saved["num_skipped"]
        self.sums.values.copy_(saved["sums"])
        self.history = [EpochRecord(**record) for record in saved["history"]]
        self.best = None if saved["best"] is None else Best(**saved["best"])
        self.stop_reason = saved["stop_reason"]
        restore_random_state(saved["random"])


def random_state() -> dict[str, Any]:
    """The global generators, in values that `torch.load(weights_only=True)` accepts."""
    numpy_state = np.random.get_state(legacy=True)
    assert isinstance(numpy_state, tuple)
    return {
        "python": random.getstate(),
        "numpy": (numpy_state[0], torch.from_numpy(numpy_state[1].copy()), *numpy_state[2:]),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_state(saved: dict[str, Any]) -> None:
    version, internal, gauss = saved["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = saved["numpy"]
    np.random.set_state((kind, keys.numpy(), *rest))
    torch.set_rng_state(saved["torch"])
    if saved["cuda"] and torch.cuda.device_count() == len(saved["cuda"]):
        torch.cuda.set_rng_state_all(saved["cuda"])
