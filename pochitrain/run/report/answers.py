"""What the best model of a run says about each validation picture."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pochitrain.inference.reliability import Bin, bin_answers
from pochitrain.run.judge import Predictions


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
