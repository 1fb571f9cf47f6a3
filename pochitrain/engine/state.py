"""The state of a run: everything that a resume must restore."""

import random
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pochitrain.error import ConfigError
from pochitrain.metric.metric import Metric
from pochitrain.metric.table import find_metric
from pochitrain.optimizer.fused import settle_kernels


@dataclass
class EpochRecord:
    """The numbers of one finished epoch. Accuracies in percent, losses as means."""

    epoch: int
    """1-based."""
    learning_rate: float
    """The rate used in this epoch; the configured one if rates are layer-wise."""
    train_loss: float
    train_accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    layer_rates: dict[str, float] = field(default_factory=dict)
    """Name of a layer-wise rule -> learning rate used in this epoch."""
    extra: dict[str, float] = field(default_factory=dict)
    """CSV column -> number added by a callback, for example of averaged weights."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Further validation metrics, in the order of their columns. Empty in old checkpoints."""

    def numbers(self) -> dict[str, float]:
        """Column -> value of everything that can be monitored, including columns of callbacks."""
        own = {
            "train_loss": self.train_loss,
            "train_accuracy": self.train_accuracy,
            "val_loss": self.val_loss,
            "val_accuracy": self.val_accuracy,
        }
        there = {name: value for name, value in own.items() if value is not None}
        return {**self.extra, **self.metrics, **there}

    def value(self, name: str) -> float:
        """The number in column `name`; NaN if there is none."""
        return float(self.numbers().get(name, float("nan")))


class Monitor:
    """The metric or column by which epochs are compared, with its direction."""

    def __init__(self, metric: str, known: Metric | None = None) -> None:
        """Monitor the column `metric`.

        Args:
            known: gives direction and unit; needed if it is not a shipped metric.

        Raises:
            ConfigError: if the direction is unknown.
        """
        known = known or find_metric(metric)
        if known is None or known.higher_is_better is None:
            raise ConfigError(
                f"monitor must be a metric of pochitrain or have a direction, got {metric!r}."
            )
        self.metric = metric
        self.higher_is_better = known.higher_is_better
        self.format = known.format
        """A value with its unit, as people read it."""
        self.unit = known.unit

    def improves(self, value: float, best: float | None) -> bool:
        """Whether `value` is strictly better, so that ties keep the earlier epoch; NaN never is."""
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
    """Sums over the samples of an epoch, kept on the device until `result` is called."""

    FIELDS = ("loss", "weight", "correct", "samples")

    def __init__(self, device: torch.device) -> None:
        dtype = torch.float32 if device.type == "mps" else torch.float64
        self.values = torch.zeros(len(self.FIELDS), dtype=dtype, device=device)
        self.on_host = self.values.numpy() if device.type == "cpu" else None
        """The same memory, where it can be read without waiting."""

    def add(self, loss: Tensor, weight: Tensor, correct: Tensor, num_samples: int) -> None:
        """Add a batch: total loss, total weight, number of correct predictions."""
        parts = [loss, weight, correct]
        if self.on_host is not None:  # the same sums, without a kernel for each
            for i, part in enumerate(parts):
                self.on_host[i] += part.item()
            self.on_host[3] += num_samples
            return
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
class Collected:
    """What several processes have separately, at a moment between two steps."""

    sums: Tensor
    """The values of `TrainState.sums`, added up."""
    random: list[dict[str, Any]]
    """`random_state()` of each process."""


@dataclass
class TrainState:
    """The objects being trained, and the progress of the run."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    scaler: torch.amp.GradScaler
    monitor: Monitor
    epochs: int
    """Number of epochs in the whole run."""
    sums: RunningMetrics
    """Sums over the current training epoch."""
    epoch: int = 0
    """Number of finished epochs."""
    batch: int = 0
    """Number of finished batches in the current epoch."""
    step: int = 0
    """Number of optimizer steps since the start."""
    num_microbatches: int = 1
    """Number of parts in which a batch is computed; doubled if it does not fit into memory."""
    num_skipped: int = 0
    """Number of batches skipped because their loss was NaN or infinite."""
    history: list[EpochRecord] = field(default_factory=list)
    best: Best | None = None
    is_best: bool = False
    """Whether the epoch that has just ended is the best so far."""
    is_judged: bool = True
    """Whether `is_best` is decided; it is not before the monitored value is known."""
    confusion: Tensor | None = None
    """Confusion matrix of the latest validation, int64, shape (C, C), rows = true class."""
    predicted: Tensor | None = None
    """Predicted class of each image in the latest validation, int64, shape (N,)."""
    confidence: Tensor | None = None
    """Probability of that class, float32, shape (N,)."""
    stop_reason: str | None = None
    """Why the run ends before its last epoch; None to continue. Callbacks may set it."""
    collected: "Collected | None" = None
    """What a checkpoint needs of all processes, in the first of several."""

    def record(self, record: EpochRecord) -> None:
        """Add a finished epoch, and judge it if the monitored value is known."""
        self.history.append(record)
        self.is_best = self.is_judged = False
        if self.monitor.metric in record.numbers():
            self.judge()

    def judge(self) -> None:
        """Decide whether the latest epoch is the best so far.

        Raises:
            ConfigError: if no epoch has had the monitored value.
        """
        value = self.latest(self.monitor.metric)
        self.is_judged = True
        self.is_best = self.monitor.improves(value, None if self.best is None else self.best.value)
        if self.is_best:
            self.best = Best(self.history[-1].epoch, value, self.confusion)

    def latest(self, metric: str, key: str = "monitor") -> float:
        """The value of `metric` in the latest epoch; NaN if only earlier epochs have it.

        Args:
            key: config key that names the metric, for the message.

        Raises:
            ConfigError: if no epoch has had it.
        """
        if not any(metric in record.numbers() for record in self.history):
            latest = self.history[-1]
            raise ConfigError(
                f"{key} must be a column of this run, got {metric!r}, which nothing has added by "
                f"the end of epoch {latest.epoch}. Columns: {', '.join(sorted(latest.numbers()))}."
            )
        return self.history[-1].value(metric)

    def state_dict(self) -> dict[str, Any]:
        """The state as tensors and plain values, without what the config determines."""
        best = None if self.best is None else vars(self.best)
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": self.random_state(),
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "num_microbatches": self.num_microbatches,
            "num_skipped": self.num_skipped,
            "sums": (self.sums.values if self.collected is None else self.collected.sums).cpu(),
            "history": [asdict(record) for record in self.history],
            "best": None if best is None else dict(best),
            "stop_reason": self.stop_reason,
        }

    def random_state(self) -> dict[str, Any]:
        """That of this process; of several, with the state of the others."""
        if self.collected is None:
            return random_state()
        first, *others = self.collected.random
        return {**first, "others": others}

    def load_state_dict(self, saved: dict[str, Any], rank: int = 0) -> None:
        """Restore the state that `state_dict` returned.

        Args:
            rank: of this process. Random numbers go on as in the same process before; in one that
                was not there, they stay as they are.
        """
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        settle_kernels(self.optimizer)
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
        if rank:
            self.sums.values.zero_()  # the first process has all of it
        states = [saved["random"], *saved["random"].get("others", [])]
        if rank < len(states):
            restore_random_state(states[rank])


def random_state() -> dict[str, Any]:
    """State of the global generators, in types that `torch.load(weights_only=True)` accepts."""
    numpy_state = np.random.get_state(legacy=True)
    assert isinstance(numpy_state, tuple)
    return {
        "python": random.getstate(),
        "numpy": (numpy_state[0], torch.from_numpy(numpy_state[1].copy()), *numpy_state[2:]),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_state(saved: dict[str, Any]) -> None:
    """Restore what `random_state` returned; GPU generators only with the same number of GPUs."""
    version, internal, gauss = saved["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = saved["numpy"]
    np.random.set_state((kind, keys.numpy(), *rest))
    torch.set_rng_state(saved["torch"])
    if saved["cuda"] and torch.cuda.device_count() == len(saved["cuda"]):
        torch.cuda.set_rng_state_all(saved["cuda"])
