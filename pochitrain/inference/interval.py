"""The 95 % intervals of the scores of an inference. N images, C classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pochitrain.engine.evaluate import rank_of_truth
from pochitrain.inference.score import Scores
from pochitrain.metric.interval import (
    FEW_GROUPS,
    Interval,
    bootstrap,
    percentile_interval,
    proportion_interval,
)
from pochitrain.metric.metric import Metric
from pochitrain.metric.table import METRICS

KEY = "intervals_95"
"""Of the intervals in the summary of an inference and of a test."""

BALANCED, MACRO_F1 = METRICS["val_balanced_accuracy"], METRICS["val_macro_f1"]


@dataclass
class Intervals:
    """The intervals of some scores."""

    of: dict[str, Interval | None]
    """By the names of `Scores.summary`; None where the images at hand say nothing."""
    num_images: int
    num_groups: int | None
    """Number of groups that were drawn as a whole; None if images are taken as independent."""

    def summary(self) -> dict[str, Any]:
        """The entries for inference_summary.json: lists of both ends."""
        ends = {name: None if i is None else [i.low, i.high] for name, i in self.of.items()}
        return {KEY: ends, "interval_groups": self.num_groups}

    def describe(self) -> str:
        """The intervals of what is printed first, in a line."""
        parts = [show("", self.of["accuracy"], "%")]
        parts.append(show("balanced ", self.of["balanced_accuracy"], "%"))
        parts.append(show("macro F1 ", self.of["macro_f1_score"]))
        return ", ".join(part for part in parts if part) + describe_groups(self.num_groups)


def show(label: str, interval: Interval | None, unit: str = "") -> str:
    """`label low to high unit`; empty without an interval."""
    if interval is None:
        return ""
    if unit:
        return f"{label}{interval.low:.2f} to {interval.high:.2f} {unit}"
    return f"{label}{interval.low:.4f} to {interval.high:.4f}"


def describe_groups(num_groups: int | None) -> str:
    """That groups were drawn, and whether they are too few; empty without groups."""
    if num_groups is None:
        return ""
    few = ", which are few: the truth may be further away" if num_groups < FEW_GROUPS else ""
    return f" (by {num_groups:,} groups{few})"


def compute_intervals(
    probabilities_NC: NDArray[np.float64],
    labels_N: NDArray[np.int64],
    scores: Scores,
    groups_N: NDArray[np.str_] | None = None,
) -> Intervals:
    """95 % intervals of the accuracies, and of all metrics of a confusion matrix, in `scores`.

    Not of the calibration error, whose estimate is too large for few images: a bootstrap would add
    to that. A metric of the user's gets none where it fails, or gives no number, on a part of the
    images.
    """
    ranks_N = rank_of_truth(torch.from_numpy(probabilities_NC), torch.from_numpy(labels_N)).numpy()
    top_k = {"accuracy": 1, f"top_{scores.k}_accuracy": scores.k}
    top_k |= {plain(m): m.top_k for m in scores.metrics if m.top_k is not None}
    found: dict[str, Interval | None] = {
        name: proportion_interval(ranks_N < k, groups_N) for name, k in top_k.items()
    }
    of_matrix = [
        metric
        for metric in dict.fromkeys([BALANCED, MACRO_F1, *scores.metrics])
        if metric.top_k is None and metric.name != "val_accuracy"
    ]
    found |= matrix_intervals(probabilities_NC, labels_N, of_matrix, groups_N)
    if plain(MACRO_F1) in found:
        found["macro_f1_score"] = found[plain(MACRO_F1)]
    num_groups = None if groups_N is None else len(np.unique(groups_N))
    return Intervals(found, len(labels_N), num_groups)


def matrix_intervals(
    probabilities_NC: NDArray[np.float64],
    labels_N: NDArray[np.int64],
    metrics: Sequence[Metric],
    groups_N: NDArray[np.str_] | None,
) -> Mapping[str, Interval | None]:
    """By a bootstrap; one that fails takes only the metrics of the user's with it."""
    predicted_1N = probabilities_NC.argmax(axis=1)[None]
    num_classes = probabilities_NC.shape[1]
    own = [metric for metric in metrics if metric.name not in METRICS]
    found: dict[str, Interval | None] = {}
    for some in ([m for m in metrics if m not in own], *([metric] for metric in own)):
        try:
            values = bootstrap(labels_N, [predicted_1N], some, num_classes, groups_N)
        except Exception:
            if some[0] not in own:
                raise
            found[plain(some[0])] = None  # it is not made for matrices that lack a class
            continue
        for column, metric in zip(values[:, 0].T, some, strict=True):
            found[plain(metric)] = percentile_interval(column)
    return found


def plain(metric: Metric) -> str:
    """Its name in the summary of an inference."""
    return metric.name.removeprefix("val_")
