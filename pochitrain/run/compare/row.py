"""The metrics of one run with their intervals, from its predictions or its confusion matrix."""

import csv
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pochitrain.metric.interval import (
    Interval,
    bootstrap,
    evaluate,
    mean_confusion,
    percentile_interval,
    proportion_interval,
)
from pochitrain.metric.metric import Metric
from pochitrain.run.compare.comparison import COMPARED
from pochitrain.run.compare.entry import Entry
from pochitrain.run.compare.setting import Setting


@dataclass
class Row:
    """A run in the table of metrics."""

    entry: Entry
    setting: str
    num_pictures: int = 0
    """0 where nothing is known of its validation."""
    values: dict[Metric, tuple[float, Interval | None]] = field(default_factory=dict)

    @property
    def seed(self) -> object:
        return self.entry.config.get("seed")


def make_rows(settings: Sequence[Setting]) -> list[Row]:
    return [make_row(entry, setting.label) for setting in settings for entry in setting.entries]


def make_row(entry: Entry, setting: str) -> Row:
    """Measure a run; without predictions by the confusion matrix that its training has left."""
    if entry.found is not None:
        labels, predicted = entry.found.labels, entry.predicted
        num_classes, groups = len(entry.found.class_names), entry.groups
    else:
        known = read_confusion(entry.folder)
        if known is None:
            return Row(entry, setting)
        labels, predicted = spread(known)
        num_classes, groups = len(known), None
    values = measure(labels, predicted, num_classes, groups)
    return Row(entry, setting, len(labels), values)


def measure(
    labels_N: NDArray[np.int64],
    predicted_N: NDArray[np.int64],
    num_classes: int,
    groups_N: NDArray[Any] | None,
    is_quick: bool = False,
) -> dict[Metric, tuple[float, Interval | None]]:
    """The value and the interval of each metric; if `is_quick`, only accuracy has an interval."""
    system = predicted_N[None]
    values = evaluate(COMPARED, mean_confusion(labels_N, system, num_classes))
    intervals = [proportion_interval(predicted_N == labels_N, groups_N)]
    if is_quick:
        return {m: (v, None) for m, v in zip(COMPARED, values, strict=True)} | {
            COMPARED[0]: (values[0], intervals[0])
        }
    draws = bootstrap(labels_N, [system], COMPARED[1:], num_classes, groups_N)[:, 0].T
    found = [*intervals, *map(percentile_interval, draws)]
    pairs = zip(values, found, strict=True)
    return dict(zip(COMPARED, pairs, strict=True))


def spread(confusion_CC: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """True and predicted classes of pictures that give this matrix, both of shape (N,)."""
    rows, columns = np.indices(confusion_CC.shape)
    counts = confusion_CC.ravel()
    return np.repeat(rows.ravel(), counts), np.repeat(columns.ravel(), counts)


def read_confusion(run: Path) -> NDArray[np.int64] | None:
    """confusion_matrix.csv of a run, shape (C, C), rows = true class; None without one."""
    with suppress(OSError, ValueError):
        text = (run / "confusion_matrix.csv").read_text(encoding="utf-8")
        rows = list(csv.reader(text.splitlines()))[1:]
        matrix = np.array([[int(cell) for cell in row[1:]] for row in rows], np.int64)
        if matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] and matrix.sum() > 0:
            return matrix
    return None
