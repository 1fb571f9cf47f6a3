"""The definition of a metric, and the data that it is computed from."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Evaluation:
    """Totals of the predictions of a model on a split. C classes."""

    loss: float
    """Mean over the samples; NaN if no loss was computed."""
    confusion: "Integers"
    """int64, shape (C, C), rows = true class, columns = predicted class; at least one image."""
    top_k_correct: Mapping[int, int] = field(default_factory=dict)
    """k -> number of images whose true class is among the k likeliest, for each requested k."""
    accuracy_of_kept: float | None = None
    """Percent, of the images that were not to be left out; None where all count, or none does."""
    predicted: "Integers | None" = None
    """Predicted class of each image of the split, int64, shape (N,); None where not kept."""
    confidence: "Floats | None" = None
    """Probability of the predicted class, float32, shape (N,); None where not kept."""

    @property
    def num_images(self) -> int:
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Percent."""
        return 100 * int(self.confusion.diagonal().sum()) / self.num_images


@dataclass(frozen=True)
class Metric:
    """A measure of how good an epoch was."""

    name: str
    """Its column in training_metrics.csv; those of validation begin with `val_`."""
    compute: Callable[[Evaluation], float] | None = None
    """None: the value comes from elsewhere (training, a callback)."""
    higher_is_better: bool | None = True
    """None: unknown."""
    unit: str = ""
    """`%` or empty."""
    top_k: int | None = None
    """The k whose entry of `Evaluation.top_k_correct` it needs, if any."""

    @property
    def label(self) -> str:
        """The name for people: without the split, with spaces."""
        return self.name.removeprefix("val_").replace("_", " ")

    def format(self, value: float) -> str:
        """`value` with its unit, as people read it."""
        return f"{value:.2f} %" if self.unit == "%" else f"{value:.4f}"


def wanted_top_k(metrics: Iterable[Metric]) -> set[int]:
    """Every k whose entry of `Evaluation.top_k_correct` the metrics need."""
    return {metric.top_k for metric in metrics if metric.top_k is not None}


def compute_metrics(metrics: Iterable[Metric], evaluation: Evaluation) -> dict[str, float]:
    """Name -> value of each metric that is computed from an evaluation."""
    return {
        metric.name: float(metric.compute(evaluation))
        for metric in metrics
        if metric.compute is not None
    }
