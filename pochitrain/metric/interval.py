"""How far a metric may be from its true value: 95 % intervals from the predictions on N pictures.

Proportions have Wilson's interval, everything else the percentiles of a bootstrap. Where pictures
belong to groups (patients, cameras), whole groups are drawn: pictures of a group err together, so
that they say less than as many independent ones. N images, C classes, G groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from pochitrain.metric.metric import Evaluation, Metric

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pochitrain.metric.metric import Integers

    Floats = npt.NDArray[np.float64]
    Groups = npt.NDArray[Any]

CONFIDENCE = 0.95
NUM_RESAMPLES = 2000
NUM_RESAMPLES_OF_MANY = 500
"""With more than MANY_CLASSES, whose matrices take long."""
MANY_CLASSES = 100
MAX_BATCH_CELLS = 4_000_000
"""Cells of all confusion matrices that are made at once."""
FEW_GROUPS = 20
"""With fewer, the spread over groups is not known well, and intervals are too narrow."""
ABSENT = -1
"""In the place of a predicted class: this model was not asked about this picture."""


@dataclass(frozen=True)
class Interval:
    """Where the true value lies with a confidence of 95 %, in the unit of the metric."""

    low: float
    high: float


def wilson_interval(num_right: int, num_images: int) -> Interval:
    """Wilson's score interval (1927) of a proportion, in percent.

    Unlike the usual one (value ± 1.96 standard errors) it is right for few images and near 100 %.
    As `scipy.stats.binomtest(...).proportion_ci(method="wilson")`, whose import would take longer
    than all else at the end of a training.
    """
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    share = num_right / num_images
    middle = (share + z**2 / (2 * num_images)) / (1 + z**2 / num_images)
    spread = share * (1 - share) / num_images + (z / (2 * num_images)) ** 2
    reach = z * spread**0.5 / (1 + z**2 / num_images)
    # At both ends exactly, which rounding would miss.
    low = 0.0 if num_right == 0 else 100 * (middle - reach)
    return Interval(low, 100.0 if num_right == num_images else 100 * (middle + reach))


def proportion_interval(right_N: "npt.NDArray[np.bool_]", groups_N: "Groups | None") -> Interval:
    """Interval of the percentage of images that are right: Wilson's, or a bootstrap of groups.

    Where all groups are alike to the last picture, a bootstrap says nothing; the interval is then
    Wilson's for as many images as there are groups.
    """
    import numpy as np

    if groups_N is None:
        return wilson_interval(int(right_N.sum()), len(right_N))
    accuracy = Metric("accuracy", lambda evaluation: evaluation.accuracy)
    truth_N = np.ones(len(right_N), np.int64)
    values = bootstrap(truth_N, [right_N.astype(np.int64)[None]], [accuracy], 2, groups_N)
    found = percentile_interval(values[:, 0, 0])
    num_groups = len(np.unique(groups_N))
    return found or wilson_interval(round(float(right_N.mean()) * num_groups), num_groups)


def percentile_interval(values_B: "Floats") -> Interval | None:
    """The middle 95 % of resampled values; None where they do not vary, or are not numbers."""
    import numpy as np

    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values_B, [tail, 1 - tail])
    return Interval(float(low), float(high)) if low < high else None


def bootstrap(
    labels_N: "Integers",
    systems: "Sequence[Integers]",
    metrics: Sequence[Metric],
    num_classes: int,
    groups_N: "Groups | None" = None,
    seed: int = 0,
) -> "Floats":
    """The metrics of every system on images (or groups of them) drawn with replacement.

    All systems get the same images in each draw, so that differences between them are paired.

    Args:
        labels_N: true classes.
        systems: predicted classes, each of shape (R, N): of R models of one kind, which together
            count as one. ABSENT where a model was not asked; at least one was.
        metrics: functions of the confusion matrix (no top-k accuracy).
        num_classes: C.
        groups_N: group of each image, of any type that can be sorted; None = all independent.

    Returns:
        Shape (B, S, M): draws, systems, metrics.
    """
    import numpy as np

    num = NUM_RESAMPLES if num_classes <= MANY_CLASSES else NUM_RESAMPLES_OF_MANY
    cells, chances_U, num_units = count_cells(labels_N, systems, num_classes, groups_N)
    generator = np.random.default_rng(seed)
    size = max(1, MAX_BATCH_CELLS // cells.shape[1])
    values = np.empty((num, len(systems), len(metrics)))
    for start in range(0, num, size):
        count = min(size, num - start)
        # Drawing images one by one and counting how often each unit came gives the same numbers.
        drawn_BU = generator.multinomial(num_units, chances_U, size=count)
        matrices = np.asarray(drawn_BU @ cells).reshape(count, len(systems), num_classes, -1)
        for draw, of_systems in enumerate(matrices, start):
            for system, confusion_CC in enumerate(of_systems):
                values[draw, system] = evaluate(metrics, confusion_CC)
    return values


def evaluate(metrics: Sequence[Metric], confusion_CC: "Integers") -> list[float]:
    evaluation = Evaluation(float("nan"), confusion_CC)
    return [float(metric.compute(evaluation)) for metric in metrics if metric.compute is not None]


def mean_confusion(labels_N: "Integers", predicted_RN: "Integers", num_classes: int) -> "Integers":
    """Confusion matrix (C, C) of R models that together count as one, times a whole number."""
    cells, _, _ = count_cells(labels_N, [predicted_RN], num_classes, labels_N)
    found: Integers = cells.sum(axis=0).reshape(num_classes, num_classes)
    return found


def count_cells(
    labels_N: "Integers",
    systems: "Sequence[Integers]",
    num_classes: int,
    groups_N: "Groups | None",
) -> "tuple[Any, Floats, int]":
    """What can be drawn, and how likely it is.

    A unit is a group, or all images that have the same true class and the same predictions.

    Returns:
        The confusion matrices that a unit adds to, sparse (U, S * C * C), int64, all times the same
        whole number; the chance of each unit, shape (U,); the number of draws.
    """
    import numpy as np
    from scipy.sparse import csr_array

    if groups_N is None:
        rows = np.concatenate([labels_N[None], *systems]).T
        kinds, counts = np.unique(rows, axis=0, return_counts=True)
        labels, units = kinds[:, 0], np.arange(len(kinds))
        split_at = np.cumsum([1, *(len(system) for system in systems)])[:-1]
        parts = [part.T for part in np.split(kinds, split_at, axis=1)[1:]]
        num_units = len(labels_N)
    else:
        units = np.unique(groups_N, return_inverse=True)[1].reshape(-1)
        labels, parts = labels_N, list(systems)
        num_units = int(units.max()) + 1
        counts = np.ones(num_units, np.int64)
    asked = [(part != ABSENT).sum(axis=0) for part in parts]
    scale = lcm(*np.unique(np.concatenate(asked)).tolist())
    where: list[Any] = []
    for system, (part, num_asked) in enumerate(zip(parts, asked, strict=True)):
        for predicted in part:
            there = predicted != ABSENT
            cell = (system * num_classes + labels) * num_classes + predicted
            where.append((scale // num_asked[there], units[there], cell[there]))
    weights, rows, columns = (np.concatenate(arrays) for arrays in zip(*where, strict=True))
    shape = (len(counts), len(systems) * num_classes**2)
    cells = csr_array((weights.astype(np.int64), (rows, columns)), shape=shape)
    return cells, counts / counts.sum(), num_units
