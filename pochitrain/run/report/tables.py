"""The tables of a page: classes with their intervals, the confusion matrix, the worst pairs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pochitrain.metric.interval import Interval, wilson_interval

MAX_MATRIX = 24
"""Classes of which the whole matrix is shown; of more, those that are mixed up most."""
NUM_PART = 16
"""Classes of that part."""
NUM_PAIRS = 20
MAX_ROWS = 1000
"""Classes in the table; of more, those with the lowest recall."""


@dataclass
class ClassRow:
    """A class in the table of classes. Percent; None of no picture."""

    index: int
    name: str
    num_train: int | None
    num_val: int
    recall: float | None
    recall_interval: Interval | None
    precision: float | None
    precision_interval: Interval | None
    f1: float | None


def class_rows(
    names: list[str], confusion_CC: NDArray[np.int64], num_train: list[int] | None
) -> list[ClassRow]:
    """A row per class, with Wilson's intervals."""
    rows = []
    for i, name in enumerate(names):
        right = int(confusion_CC[i, i])
        num_val, num_said = int(confusion_CC[i].sum()), int(confusion_CC[:, i].sum())
        recall, recall_interval = share(right, num_val)
        precision, precision_interval = share(right, num_said)
        f1 = 200 * right / (num_val + num_said) if num_val + num_said else None
        rows.append(
            ClassRow(
                i,
                name,
                None if num_train is None else num_train[i],
                num_val,
                recall,
                recall_interval,
                precision,
                precision_interval,
                f1,
            )
        )
    return rows


def worst_rows(rows: list[ClassRow]) -> list[ClassRow]:
    """All rows, or the MAX_ROWS with the lowest recall, lowest first."""
    if len(rows) <= MAX_ROWS:
        return rows
    known = [row for row in rows if row.recall is not None]
    return sorted(known, key=lambda row: row.recall or 0)[:MAX_ROWS]


def share(right: int, of: int) -> tuple[float | None, Interval | None]:
    return (100 * right / of, wilson_interval(right, of)) if of else (None, None)


@dataclass
class Pair:
    """Pictures of one class that are said to be of another."""

    true: int
    predicted: int
    count: int
    share: float
    """Percent of the pictures of the true class."""


def worst_pairs(confusion_CC: NDArray[np.int64]) -> list[Pair]:
    """The most frequent confusions, at most NUM_PAIRS."""
    wrong = confusion_CC.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:NUM_PAIRS]
    found = []
    for cell in order.tolist():
        true, predicted = divmod(cell, len(wrong))
        count = int(wrong[true, predicted])
        if count:
            of_class = int(confusion_CC[true].sum())
            found.append(Pair(true, predicted, count, 100 * count / of_class))
    return found


@dataclass
class Matrix:
    """The part of the confusion matrix that is shown."""

    classes: list[int]
    cells: list[list[tuple[int, float]]]
    """Row = true class: number of pictures, and its share of the row, 0 to 1."""
    is_whole: bool


def shown_matrix(confusion_CC: NDArray[np.int64], pairs: list[Pair]) -> Matrix:
    """All classes, or those of the worst pairs, in the order of the classes."""
    num = len(confusion_CC)
    if num <= MAX_MATRIX:
        classes = list(range(num))
    else:
        chosen: list[int] = []
        for pair in pairs:
            chosen += [i for i in (pair.true, pair.predicted) if i not in chosen]
        classes = sorted(chosen[:NUM_PART])
    sizes = np.maximum(confusion_CC.sum(axis=1), 1)
    cells = [
        [(int(confusion_CC[i, j]), float(confusion_CC[i, j] / sizes[i])) for j in classes]
        for i in classes
    ]
    return Matrix(classes, cells, len(classes) == num)
