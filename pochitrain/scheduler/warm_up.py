"""Learning-rate warm-up for any scheduler."""

import warnings
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau


class WarmUp(LRScheduler):
    """Multiplies the rates of another scheduler by a factor that rises to 1 (Goyal et al. 2017).

    In epoch e (0-based) the factor is start_factor + (1 - start_factor) * e / epochs until it
    reaches 1. The other scheduler counts its epochs from the start of the run, so milestones and
    T_max mean the same with and without a warm-up (timm without --warmup-prefix).

    torch's own classes differ: SequentialLR starts the other scheduler after the warm-up, and
    ChainedScheduler lets each scheduler compute its next rate from the combined one, which is wrong
    for CosineAnnealingLR with eta_min > 0, and refuses ReduceLROnPlateau. Here the other scheduler
    computes with its own rates.
    """

    def __init__(self, scheduler: LRScheduler, epochs: int, start_factor: float) -> None:
        """Wrap `scheduler`, and set the rates of the first epoch.

        Args:
            epochs: the factor reaches 1 in epoch `epochs` (0-based); >= 1.
            start_factor: factor of the first epoch, 0 < x <= 1.
        """
        self.inner = scheduler
        self.optimizer = scheduler.optimizer
        self.epochs = epochs
        self.start_factor = start_factor
        self.last_epoch = 0
        self.rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        self.apply_factor()

    def get_last_lr(self) -> list[float | Tensor]:
        """The rates that the latest step set, one per parameter group, as in torch."""
        share = min(1.0, self.last_epoch / self.epochs)
        factor = self.start_factor + (1 - self.start_factor) * share
        return [rate * factor for rate in self.rates]

    def apply_factor(self) -> None:
        """Set the rates of the optimizer to those of the inner scheduler times the factor."""
        for group, rate in zip(self.optimizer.param_groups, self.get_last_lr(), strict=True):
            group["lr"] = rate

    def step(self, *metric: Any) -> None:
        """Go to the next epoch; `metric` is passed to a ReduceLROnPlateau."""
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate
        self.inner.step(*metric)
        self.last_epoch += 1
        self.rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        self.apply_factor()

    def state_dict(self) -> dict[str, Any]:
        """State of both schedulers, without the optimizer."""
        return {
            "inner": self.inner.state_dict(),
            "last_epoch": self.last_epoch,
            "rates": self.rates,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of `state_dict`; the optimizer restores the rates in use itself."""
        self.inner.load_state_dict(state_dict["inner"])
        self.last_epoch = state_dict["last_epoch"]
        self.rates = list(state_dict["rates"])


def step_scheduler(scheduler: LRScheduler, metric: float) -> None:
    """Go to the next epoch.

    Args:
        metric: value of the monitored metric in the finished epoch, for ReduceLROnPlateau.
    """
    inner = scheduler.inner if isinstance(scheduler, WarmUp) else scheduler
    needs_metric = isinstance(inner, ReduceLROnPlateau)
    step: Callable[..., None] = scheduler.step
    with warnings.catch_warnings():
        # A false alarm after a resume in validation, or if every step so far was skipped.
        warnings.filterwarnings("ignore", r"Detected call of `lr_scheduler\.step\(\)` before")
        step(*([metric] if needs_metric else []))
