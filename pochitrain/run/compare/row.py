"""The metrics of one run with their intervals, from its predictions or its confusion matrix."""

import csv
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

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
        known = read_confusion(entry)
        if known is None:
            return Row(entry, setting)
        rows, columns = np.indices(known.shape)
        labels, predicted = (np.repeat(side.ravel(), known.ravel()) for side in (rows, columns))
        num_classes, groups = len(known), None
    system = predicted[None]
    values = evaluate(COMPARED, mean_confusion(labels, system, num_classes))
    draws = bootstrap(labels, [system], COMPARED[1:], num_classes, groups)[:, 0].T
    intervals = [proportion_interval(predicted == labels, groups), *map(percentile_interval, draws)]
    pairs = zip(values, intervals, strict=True)
    return Row(entry, setting, len(labels), dict(zip(COMPARED, pairs, strict=True)))


def read_confusion(entry: Entry) -> NDArray[np.int64] | None:
    """confusion_matrix.csv of a run, shape (C, C), rows = true class; None without one."""
    with suppress(OSError, ValueError):
        text = (entry.folder / "confusion_matrix.csv").read_text(encoding="utf-8")
        rows = list(csv.reader(text.splitlines()))[1:]
        matrix = np.array([[int(cell) for cell in row[1:]] for row in rows], np.int64)
        if matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] and matrix.sum() > 0:
            return matrix
    return None
