"""The settings of a sweep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any


@dataclass
class SweepSettings:
    """The settings of every sweep, with the fields of `hydra.sweeper`."""

    sampler: Any
    """An Optuna sampler, or a partial of a grid sampler that still needs its points."""
    pruner: Any
    """An Optuna pruner."""
    directions: list[str]
    """minimize or maximize, one per objective."""
    storage: Any
    """URL or Optuna storage; None = in memory."""
    study_name: str | None
    n_trials: int
    """Total number of finished trials in the study."""
    n_jobs: int
    """Number of trials that run at the same time."""
    max_failure_rate: float
    custom_search_space: str | None
    """Dotted path of a function `f(cfg, trial)` that suggests more parameters."""
    params: Mapping[str, Any] | None
    """Overrides and sweeps, applied before those of the command line."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.max_failure_rate <= 1.0:
            raise ValueError(f"max_failure_rate must be from 0 to 1, got {self.max_failure_rate}.")


def list_directions(direction: Any) -> list[str]:
    """The directions as a list of strings, from one or several strings or enum members."""
    many = isinstance(direction, Sequence) and not isinstance(direction, str)
    each = list(direction) if many else [direction]
    return [item.name if isinstance(item, Enum) else str(item) for item in each]
