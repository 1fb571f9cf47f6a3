"""How far confidence and accuracy are apart, bin by bin. N images, C classes."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pochitrain.inference.classifier import Classifier
from pochitrain.inference.score import NUM_BINS, expected_calibration_error
from pochitrain.inference.temperature import log_loss

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass
class Bin:
    """The images whose confidence is above `low` and at most `high`."""

    low: float
    high: float
    images: int
    confidence: float
    """Their mean confidence, 0 to 1."""
    accuracy: float
    """The share of them that is classified correctly, 0 to 1."""


def reliability(probabilities_NC: Floats, labels_N: Integers) -> list[Bin]:
    """The bins of the calibration error that hold images, by rising confidence.

    Args:
        probabilities_NC: finite; rows sum to 1.
        labels_N: the true classes.
    """
    right_N = probabilities_NC.argmax(axis=1) == labels_N
    return bin_answers(probabilities_NC.max(axis=1), right_N)


def bin_answers(confidence_N: Floats, right_N: npt.NDArray[np.bool_]) -> list[Bin]:
    """As `reliability`, from the confidence of the predicted class and whether it is right."""
    index_N = np.clip(np.ceil(confidence_N * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)
    found = []
    for index in np.unique(index_N):
        inside = index_N == index
        means = float(confidence_N[inside].mean()), float(right_N[inside].mean())
        found.append(Bin(index / NUM_BINS, (index + 1) / NUM_BINS, int(inside.sum()), *means))
    return found


def measure(probabilities_NC: Floats, labels_N: Integers) -> dict[str, Any]:
    """Calibration error, log loss and reliability of some probabilities, for a JSON file."""
    finite = bool(np.isfinite(probabilities_NC).all())
    bins = reliability(probabilities_NC, labels_N) if finite else []
    return {
        "expected_calibration_error": expected_calibration_error(probabilities_NC, labels_N),
        "log_loss": log_loss(torch.from_numpy(probabilities_NC), torch.from_numpy(labels_N)),
        "reliability": [asdict(one) for one in bins],
    }


def compare_calibration(
    classifier: Classifier, logits_NC: Tensor, labels_N: Integers
) -> dict[str, Any]:
    """How honest the confidence is without and with the temperature of the model.

    Args:
        logits_NC: what its network answers.

    Returns:
        An entry of inference_summary.json; nothing if the model is not calibrated.
    """
    if classifier.calibration is None:
        return {}
    temperature = classifier.calibration.temperature
    # The graph of an exported model has divided its logits already.
    logits = logits_NC.double() * (temperature / classifier.temperature)
    before = torch.softmax(logits, dim=1).numpy()
    after = classifier.probabilities(logits_NC).numpy()
    measured = {"before": measure(before, labels_N), "after": measure(after, labels_N)}
    return {"calibration": {"temperature": temperature, **measured}}
