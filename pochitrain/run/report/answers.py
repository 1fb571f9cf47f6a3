"""What the best model of a run says about each validation picture."""

import csv
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pochitrain.inference.reliability import Bin, bin_answers
from pochitrain.run.judge import CHANCE, VAL_PREDICTIONS, Predictions
from pochitrain.run.report.run_files import RunFiles
from pochitrain.text import restore_cell


@dataclass
class Answers:
    """N pictures in the order of the data set, C classes."""

    class_names: list[str]
    images: list[str]
    """What a person finds each picture by."""
    true: NDArray[np.int64]
    """Shape (N,)."""
    predicted: NDArray[np.int64]
    """Shape (N,)."""
    confidence: NDArray[np.float64]
    """Of the predicted class, 0 to 1, shape (N,)."""
    groups: NDArray[np.str_] | None = None
    """Group of each picture; None where they are independent, or nobody knows."""

    @property
    def is_right(self) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = self.true == self.predicted
        return found

    def confusion(self) -> NDArray[np.int64]:
        """Numbers of pictures (true class, predicted class), shape (C, C)."""
        found = np.zeros((len(self.class_names),) * 2, np.int64)
        np.add.at(found, (self.true, self.predicted), 1)
        return found

    def mistakes(self) -> NDArray[np.int64]:
        """Positions of the wrong ones, the most confident first."""
        wrong = np.flatnonzero(~self.is_right)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")]

    def by_importance(self) -> list[int]:
        """All positions: the mistakes, then what is right, from every class by turns and the
        least certain first."""
        right = np.flatnonzero(self.is_right)
        right = right[np.argsort(self.confidence[right], kind="stable")]
        rank = np.zeros(len(self.true), np.int64)
        for label in np.unique(self.true[right]):
            own = right[self.true[right] == label]
            rank[own] = np.arange(len(own))
        order = right[np.argsort(rank[right], kind="stable")]
        return [*self.mistakes().tolist(), *order.tolist()]

    def bins(self) -> list[Bin]:
        """Confidence and accuracy by confidence; empty if a confidence is no number."""
        if not np.isfinite(self.confidence).all():
            return []
        return bin_answers(self.confidence, self.is_right)


def read_answers(run: RunFiles) -> Answers | None:
    """What val_predictions.csv says; None if it is missing, damaged, or of another model than
    confusion_matrix.csv."""
    names = run.class_names
    if run.confusion is None or not names:
        return None
    with suppress(OSError, ValueError, KeyError, IndexError, csv.Error):
        with (run.folder / VAL_PREDICTIONS).open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            place = {name: column for column, name in enumerate(next(reader, []))}
            rows = list(reader)
        true, predicted = (
            np.array([int(row[place[name]]) for row in rows], np.int64)
            for name in ("true", "predicted")
        )
        images = [restore_cell(row[place["image_path"]]) for row in rows]
        if "confidence" in place:
            confidence = np.array([number(row[place["confidence"]]) for row in rows])
        else:  # with the probability of every class
            first = min(column for name, column in place.items() if name.startswith(CHANCE))
            confidence = np.array([max(map(float, row[first:])) for row in rows])
        found = Answers(names, images, true, predicted, confidence)
        if np.array_equal(found.confusion(), run.confusion):
            return found
    return None


def number(cell: str) -> float:
    return float(cell) if cell else np.nan


def answers_of(found: Predictions, groups: NDArray[np.str_] | None) -> Answers:
    """The answers in a file of predictions."""
    predicted = found.probabilities.argmax(axis=1)
    confidence = found.probabilities.max(axis=1)
    return Answers(found.class_names, found.images, found.labels, predicted, confidence, groups)


def calibration_error(bins: list[Bin]) -> float | None:
    """The expected calibration error, 0 to 1 (see `inference.score`); None without bins."""
    total = sum(one.images for one in bins)
    if not total:
        return None
    return sum(one.images * abs(one.accuracy - one.confidence) for one in bins) / total
