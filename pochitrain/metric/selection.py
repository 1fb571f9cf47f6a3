"""How much too good the best of E epochs looks on the N images that it was chosen on.

The largest of E noisy values is likely to be one that luck has raised (the "winner's curse"), so
it is more than another set of images would show. Here the images are halved again and again: the
epoch that is best on one half is measured on the other. What it loses on average is the optimism
of a choice on N / 2 images; divided by the square root of 2, that of a choice on N.

The division is exact where all epochs are equally good, since noise falls with the square root of
N. Where some are truly better, luck decides less often the more images there are, so the quotient
is too large, never too small: the corrected value then is on the careful side.

Choosing on one part and measuring on another is nested validation (Varma & Simon 2006, "Bias in
error estimation when using cross-validation for model selection"). That the optimism is the mean
difference between both, and can be subtracted, is from Tibshirani & Tibshirani 2009 ("A bias
correction for the minimum error rate in cross-validation"), whose estimate keeps the size of the
folds and therefore corrects too much.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pochitrain.metric.interval import evaluate
from pochitrain.metric.metric import Metric

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pochitrain.metric.metric import Integers

    Floats = npt.NDArray[np.float64]

NUM_HALVINGS = 100
FEWEST_HALVINGS = 20
MAX_CELLS = 200_000_000
"""Images and cells of matrices that are gone through, over all epochs and halvings."""
FEWEST_IMAGES = 10
"""Or groups; with fewer, a half says nothing."""


@dataclass(frozen=True)
class Optimism:
    """What a choice among epochs has added to the value of the best one."""

    amount: float
    """In the unit of the metric, >= 0: so much too good, whichever direction is better."""
    num_halvings: int
    seed: int


def estimate_optimism(
    labels_N: "Integers",
    predicted_EN: "npt.NDArray[np.integer[Any]]",
    metric: Metric,
    num_classes: int,
    groups_N: "npt.NDArray[Any] | None" = None,
    seed: int = 0,
) -> Optimism | None:
    """The optimism of the best of E epochs, chosen by `metric` on these N images.

    The halves have the classes in equal parts (see `halve`).

    Args:
        labels_N: true classes.
        predicted_EN: predicted classes, shape (E, N), of any integer type.
        metric: a function of the confusion matrix, with a direction.
        num_classes: C.
        groups_N: group of each image, which stays whole; None = all images are independent.

    Returns:
        None where it cannot be estimated: one epoch, few images or groups, a metric that is not a
        number on any half, or an amount of work that would take minutes.
    """
    import numpy as np

    num_epochs, num_images = predicted_EN.shape
    units = num_images if groups_N is None else len(np.unique(groups_N))
    if num_epochs < 2 or units < FEWEST_IMAGES:
        return None
    is_accuracy = metric.name == "val_accuracy"
    work = num_epochs * (num_images + (0 if is_accuracy else num_classes**2))
    num_halvings = min(NUM_HALVINGS, MAX_CELLS // work)
    if num_halvings < FEWEST_HALVINGS:
        return None
    halves = halve(labels_N, groups_N, num_halvings, np.random.default_rng(seed))
    if is_accuracy:
        values = accuracies(predicted_EN == labels_N, halves)
    else:
        cells_EN = labels_N * num_classes + predicted_EN.astype(np.int64)
        values = values_of(metric, cells_EN, num_classes, halves)
    sign = 1 if metric.higher_is_better else -1
    losses = [lost(sign * a, sign * b) for pair in values for a, b in (pair, pair[::-1])]
    known = [value for value in losses if np.isfinite(value)]
    if not known:
        return None
    return Optimism(max(0.0, float(np.mean(known)) / 2**0.5), num_halvings, seed)


def accuracies(
    right_EN: "npt.NDArray[np.bool_]", halves: "Iterable[npt.NDArray[np.bool_]]"
) -> "Iterator[tuple[Floats, Floats]]":
    """The accuracies of the epochs on both halves, in percent, shapes (E,)."""
    right = right_EN.astype("float32")
    total_E = right.sum(axis=1, dtype=float)
    for first_N in halves:
        hits_E = right @ first_N.astype("float32")
        num_first = int(first_N.sum())
        yield 100 * hits_E / num_first, 100 * (total_E - hits_E) / (len(first_N) - num_first)


def values_of(
    metric: Metric,
    cells_EN: "Integers",
    num_classes: int,
    halves: "Iterable[npt.NDArray[np.bool_]]",
) -> "Iterator[tuple[Floats, Floats]]":
    """The metric of the epochs on both halves, shapes (E,).

    Args:
        cells_EN: the cell of the confusion matrix that each image falls into.
    """
    import numpy as np

    whole = list(matrices(cells_EN, num_classes))
    for first_N in halves:
        ones = list(matrices(cells_EN[:, first_N], num_classes))
        others = [total - one for total, one in zip(whole, ones, strict=True)]
        of_ones, of_others = (
            np.array([evaluate([metric], matrix)[0] for matrix in side]) for side in (ones, others)
        )
        yield of_ones, of_others


def lost(chosen_by_E: "Floats", measured_E: "Floats") -> float:
    """By how much the best epoch is worse where it was not chosen; NaN without a best one.

    Of equal values the first counts, as in a training.
    """
    import numpy as np

    if np.isnan(chosen_by_E).all():
        return float("nan")
    best = np.nanargmax(chosen_by_E)
    return float(chosen_by_E[best] - measured_E[best])


def matrices(cells_EN: "Integers", num_classes: int) -> "Iterator[Integers]":
    """The confusion matrix of each epoch, int64, (C, C), from the cell that an image falls into."""
    import numpy as np

    for cells_N in cells_EN:
        counts = np.bincount(cells_N, minlength=num_classes**2)
        yield counts.reshape(num_classes, num_classes)


def halve(
    strata_N: "Integers",
    groups_N: "npt.NDArray[Any] | None",
    count: int,
    generator: "np.random.Generator",
) -> "Iterator[npt.NDArray[np.bool_]]":
    """Random halves: True for the images of the first, shape (N,).

    Of every class (with groups: of the groups in which it is the commonest) a half is in each, and
    what remains of odd numbers goes to them in turn.
    """
    import numpy as np

    if groups_N is None:
        unit_N, kinds_U = np.arange(len(strata_N)), strata_N
    else:
        unit_N = np.unique(groups_N, return_inverse=True)[1].reshape(-1)
        counts_UC = np.zeros((unit_N.max() + 1, strata_N.max() + 1), np.int64)
        np.add.at(counts_UC, (unit_N, strata_N), 1)
        kinds_U = counts_UC.argmax(axis=1)
    num_units = len(kinds_U)
    for _ in range(count):
        # In random order, then by class: every second one makes a half of each class.
        order = generator.permutation(num_units)
        order = order[np.argsort(kinds_U[order], kind="stable")]
        first_U = np.zeros(num_units, bool)
        first_U[order[generator.integers(2) :: 2]] = True
        yield first_U[unit_N]
