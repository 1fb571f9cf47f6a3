"""Scores of predictions. N images, C classes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pochitrain.engine.evaluate import rank_of_truth
from pochitrain.metric.metric import Evaluation, Metric, compute_metrics, wanted_top_k
from pochitrain.metric.table import METRICS, balanced_accuracy

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

NUM_BINS = 15
"""Bins of the calibration error, as in Guo et al. 2017."""

ON_PREDICTIONS = tuple(metric for name, metric in METRICS.items() if name != "val_loss")
"""The metrics that need no loss."""


@dataclass
class ClassScore:
    """One row of classification_report.csv; scores from 0 to 1."""

    name: str
    precision: float
    recall: float
    f1_score: float
    support: int
    """Number of images of the class."""


@dataclass
class Scores:
    """All scores: accuracies in percent, the rest from 0 to 1, as in training_metrics.csv."""

    accuracy: float
    top_k_accuracy: float
    k: int
    balanced_accuracy: float
    expected_calibration_error: float
    classes: list[ClassScore]
    macro: ClassScore
    weighted: ClassScore
    confusion: Integers
    """Shape (C, C), rows = true class."""
    metrics: dict[Metric, float]
    """Further metrics, with the names and units of training_metrics.csv."""

    def shown(self) -> list[str]:
        """`metrics` as text for the terminal, without those printed separately."""
        above = ("val_accuracy", "val_balanced_accuracy", "val_macro_f1")
        rest = {metric: value for metric, value in self.metrics.items() if metric.name not in above}
        return [f"{metric.label} {metric.format(value)}" for metric, value in rest.items()]

    def summary(self) -> dict[str, Any]:
        """The scores over all classes, for inference_summary.json."""
        keys = ("precision", "recall", "f1_score")
        return {
            "accuracy": self.accuracy,
            f"top_{self.k}_accuracy": self.top_k_accuracy,
            "balanced_accuracy": self.balanced_accuracy,
            "expected_calibration_error": self.expected_calibration_error,
            **{f"macro_{key}": asdict(self.macro)[key] for key in keys},
            **{metric.name.removeprefix("val_"): value for metric, value in self.metrics.items()},
        }


def score(
    probabilities_NC: Floats,
    labels_N: Integers,
    class_names: list[str],
    k: int = 5,
    metrics: Sequence[Metric] = ON_PREDICTIONS,
) -> Scores:
    """Compare predictions with the true classes.

    As in scikit-learn, macro averages are over the classes that occur as true or predicted class,
    and the balanced accuracy over those that occur as true class; classes without images are left
    out.

    Args:
        probabilities_NC: rows sum to 1.
        labels_N: indices of the true classes.
        k: for the top-k accuracy: the true class is among the k likeliest.
        metrics: further metrics to compute.
    """
    from sklearn.metrics import confusion_matrix
    from sklearn.metrics import precision_recall_fscore_support as prf

    predicted = probabilities_NC.argmax(axis=1)
    num_classes = len(class_names)
    every = list(range(num_classes))
    k = min(k, num_classes)
    table = prf(labels_N, predicted, labels=every, zero_division=0)
    classes = [
        ClassScore(name, float(p), float(r), float(f), int(support))
        for name, p, r, f, support in zip(class_names, *table, strict=True)
    ]
    macro, weighted = (average(labels_N, predicted, kind) for kind in ("macro", "weighted"))
    ranks_N = rank_of_truth(torch.from_numpy(probabilities_NC), torch.from_numpy(labels_N))
    hits = {limit: int((ranks_N < limit).sum()) for limit in {k, *wanted_top_k(metrics)}}
    confusion = confusion_matrix(labels_N, predicted, labels=every).astype(np.int64)
    evaluation = Evaluation(float("nan"), confusion, hits)
    return Scores(
        accuracy=evaluation.accuracy,
        top_k_accuracy=100 * hits[k] / len(labels_N),
        k=k,
        balanced_accuracy=balanced_accuracy(confusion),
        expected_calibration_error=expected_calibration_error(probabilities_NC, labels_N),
        classes=classes,
        macro=macro,
        weighted=weighted,
        confusion=confusion,
        metrics=dict(zip(metrics, compute_metrics(metrics, evaluation).values(), strict=True)),
    )


def average(labels_N: Integers, predicted_N: Integers, kind: str) -> ClassScore:
    """The row `macro avg` or `weighted avg`; `kind` is macro or weighted."""
    from sklearn.metrics import precision_recall_fscore_support as prf

    precision, recall, f1_score, _ = prf(labels_N, predicted_N, average=kind, zero_division=0)
    name = f"{kind} avg"
    return ClassScore(name, float(precision), float(recall), float(f1_score), len(labels_N))


def expected_calibration_error(
    probabilities_NC: Floats, labels_N: Integers, num_bins: int = NUM_BINS
) -> float:
    """Mean distance between confidence and accuracy, over bins of equal width.

    ECE = sum over bins of n_bin / N * |accuracy - mean confidence| (Naeini et al. 2015; Guo et
    al. 2017). A bin includes its upper edge: (0, 1/15], (1/15, 2/15], ...
    NaN if a confidence is not finite.
    """
    confidence = probabilities_NC.max(axis=1)
    right = probabilities_NC.argmax(axis=1) == labels_N
    if not np.isfinite(confidence).all():  # a model that diverged
        return float("nan")
    bins = np.clip(np.ceil(confidence * num_bins).astype(int) - 1, 0, num_bins - 1)
    error = 0.0
    for index in np.unique(bins):
        inside = bins == index
        gap = abs(float(right[inside].mean()) - float(confidence[inside].mean()))
        error += gap * float(inside.mean())
    return error
