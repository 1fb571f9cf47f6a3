"""Every shipped metric. To add one: a function and an entry of METRICS, both in this file.

The functions take a confusion matrix as a numpy array, int64, shape (C, C), rows = true class.
They agree with scikit-learn, even if classes have no image or are never predicted. Accuracies
and recalls are in percent, as in the CSV; F1 and the correlation are not (1 is perfect).
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from pochitrain.metric.metric import Evaluation, Metric

if TYPE_CHECKING:
    from pochitrain.metric.metric import Integers

Formula = Callable[["Integers"], float]


def balanced_accuracy(confusion_CC: "Integers") -> float:
    """Mean recall of the classes that are present, percent."""
    images_C = confusion_CC.sum(axis=1)
    present = images_C > 0
    return 100 * float((confusion_CC.diagonal()[present] / images_C[present]).mean())


def worst_class_recall(confusion_CC: "Integers") -> float:
    """Smallest recall among the classes that are present, percent."""
    images_C = confusion_CC.sum(axis=1)
    present = images_C > 0
    return 100 * float((confusion_CC.diagonal()[present] / images_C[present]).min())


def macro_f1(confusion_CC: "Integers") -> float:
    """Mean F1 of the classes that occur as true or predicted class, 0 to 1."""
    sizes_C = confusion_CC.sum(axis=0) + confusion_CC.sum(axis=1)
    occurs = sizes_C > 0
    return float((2 * confusion_CC.diagonal()[occurs] / sizes_C[occurs]).mean())


def weighted_f1(confusion_CC: "Integers") -> float:
    """Mean F1 weighted by the number of images of each class, 0 to 1."""
    images_C = confusion_CC.sum(axis=1)
    sizes_C = confusion_CC.sum(axis=0) + images_C
    present = images_C > 0
    f1 = 2 * confusion_CC.diagonal()[present] / sizes_C[present]
    return float((f1 * images_C[present]).sum() / images_C.sum())


def matthews_correlation(confusion_CC: "Integers") -> float:
    """Correlation of true and predicted classes (Gorodkin 2004), from -1 to 1.

    0 if all images have the same true class or the same predicted class.
    """
    # Floats: products of counts overflow int64 above about ten million images.
    true_C, found_C = (confusion_CC.sum(axis=axis).astype(float) for axis in (1, 0))
    total = float(true_C.sum())
    covariance = float(confusion_CC.diagonal().sum()) * total - float(true_C @ found_C)
    spread = (total**2 - float(true_C @ true_C)) * (total**2 - float(found_C @ found_C))
    return covariance / spread**0.5 if spread > 0 else 0.0


def of_confusion(formula: Formula) -> Callable[[Evaluation], float]:
    """Make a formula of the confusion matrix a function of an evaluation."""
    return lambda evaluation: formula(evaluation.confusion)


METRICS = {
    metric.name: metric
    for metric in (
        Metric("val_accuracy", lambda evaluation: evaluation.accuracy, unit="%"),
        Metric("val_loss", lambda evaluation: evaluation.loss, higher_is_better=False),
        Metric("val_balanced_accuracy", of_confusion(balanced_accuracy), unit="%"),
        Metric("val_macro_f1", of_confusion(macro_f1)),
        Metric("val_weighted_f1", of_confusion(weighted_f1)),
        Metric("val_worst_class_recall", of_confusion(worst_class_recall), unit="%"),
        Metric("val_mcc", of_confusion(matthews_correlation)),
    )
}
"""Validation metrics by name. `val_top<k>_accuracy` exists for every k besides."""

TRAINING = {
    "train_loss": Metric("train_loss", higher_is_better=False),
    "train_accuracy": Metric("train_accuracy", unit="%"),
}

TOP_K = re.compile(r"val_top([1-9]\d*)_accuracy")
AVERAGED = "ema_"
"""Prefix of a validation metric that is computed with the averaged weights."""


def find_metric(name: str) -> Metric | None:
    """The shipped metric called `name`; None if there is none."""
    found = TOP_K.fullmatch(name)
    if found:
        return top_k_accuracy(int(found[1]))
    if name.startswith(AVERAGED):
        plain = find_metric(name.removeprefix(AVERAGED))
        of_validation = plain is not None and plain.compute is not None
        return replace(plain, name=name, compute=None) if plain and of_validation else None
    return METRICS.get(name) or TRAINING.get(name)


def top_k_accuracy(k: int) -> Metric:
    """Percent of the images whose true class is among the k likeliest."""
    return Metric(
        f"val_top{k}_accuracy",
        lambda evaluation: 100 * evaluation.top_k_correct[k] / evaluation.num_images,
        unit="%",
        top_k=k,
    )
