"""What a metric is, and what it is computed from."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Evaluation:
    """What the answers of a model on a split add up to. C classes."""

    loss: float
    """Mean over the samples; NaN where no loss was computed."""
    confusion: "Integers"
    """Shape (C, C), rows = true class, columns = predicted class; at least one image."""
    top_k_correct: Mapping[int, int] = field(default_factory=dict)
    """k -> images whose true class is among the k likeliest, for each k that was asked for."""

    @property
    def num_images(self) -> int:
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Percent."""
        return 100 * int(self.confusion.diagonal().sum()) / self.num_images


@dataclass(frozen=True)
class Metric:
    """A number that says how good an epoch was."""

    name: str
    """Its column in training_metrics.csv; those of validation begin with `val_`."""
    compute: Callable[[Evaluation], float] | None = None
    """None: it comes from elsewhere (the training, a callback)."""
    higher_is_better: bool | None = True
    """None: nobody has said."""
    unit: str = ""
    """`%`, or nothing."""
    top_k: int | None = None
    """The k whose count it needs."""

    @property
    def label(self) -> str:
        """The name in words, without the split."""
        return self.name.removeprefix("val_").replace("_", " ")

    def format(self, value: float) -> str:
        """`value` with its unit, as people read it."""
        return f"{value:.2f} %" if self.unit == "%" else f"{value:.4f}"


def wanted_top_k(metrics: Iterable[Metric]) -> set[int]:
    """Every k whose count `metrics` need."""
    return {metric.top_k for metric in metrics if metric.top_k is not None}


def compute_metrics(metrics: Iterable[Metric], evaluation: Evaluation) -> dict[str, float]:
    """The values by name, of the metrics that can be computed from an evaluation."""
    return {
        metric.name: float(metric.compute(evaluation))
        for metric in metrics
        if metric.compute is not None
    }
