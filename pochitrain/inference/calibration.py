"""What a calibrated model file knows about its own mistakes: `Calibration`.

It travels in the checkpoint and in the metadata of an exported model, as plain numbers. It is made
from predictions for images that the model was not trained on, N of them, of C classes.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pochitrain.inference.fact import is_integer
from pochitrain.inference.temperature import HIGHEST, LOWEST

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MIN_IMAGES = 50
"""Fewer images say too little about a temperature."""
MAX_IMAGES = 2**40
ACCEPTED = (1.0, 0.99, 0.98, 0.97, 0.95, 0.925, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
"""Shares of the images, the most confident ones, of which the mistakes are counted."""
COVERAGES = (*(per_mille / 1000 for per_mille in range(500, 1000, 5)), 0.999)
"""Shares of true classes for which the size of prediction sets is known."""
MAX_ROWS = 1000


@dataclass(frozen=True)
class Calibration:
    """A temperature, and the counts from which thresholds are chosen."""

    temperature: float
    """What logits are divided by."""
    images: int
    """Number of images that all this was measured on."""
    reject: tuple[tuple[float, int, int], ...]
    """(threshold, accepted, errors): of the images, this number has a calibrated confidence of at
    least the threshold, and of those, this number is misclassified. By rising threshold."""
    sets: tuple[tuple[float, float], ...]
    """(coverage, least probability): the classes of at least this probability hold the true one
    with at least this coverage. By rising coverage."""

    def content(self) -> dict[str, Any]:
        """As plain values, for a model file."""
        plain = asdict(self)
        return plain | {key: [list(row) for row in plain[key]] for key in ("reject", "sets")}


def describe_mistakes(
    temperature: float, probabilities_NC: Floats, labels_N: Integers
) -> Calibration:
    """The calibration of a model with these predictions.

    Args:
        temperature: what the model file shall divide its logits by.
        probabilities_NC: calibrated, each without knowledge of its own image.
        labels_N: the true classes.
    """
    confidence = probabilities_NC.max(axis=1)
    wrong = probabilities_NC.argmax(axis=1) != labels_N
    true_N = probabilities_NC[np.arange(len(labels_N)), labels_N]
    return Calibration(
        temperature,
        len(labels_N),
        tuple(reject_rows(confidence, wrong)),
        tuple(set_rows(true_N)),
    )


def reject_rows(confidence_N: Floats, wrong_N: npt.NDArray[np.bool_]) -> list[Any]:
    """`Calibration.reject` of images with these confidences.

    The thresholds are the confidences at ranks that are known before the mistakes are.
    """
    falling = np.sort(confidence_N)[::-1]
    rows: list[tuple[float, int, int]] = [(0.0, len(wrong_N), int(wrong_N.sum()))]
    for share in ACCEPTED[1:]:
        threshold = float(falling[max(1, math.ceil(share * len(falling))) - 1])
        inside = confidence_N >= threshold
        if inside.sum() < rows[-1][1]:  # equal confidences are accepted together
            rows.append((threshold, int(inside.sum()), int(wrong_N[inside].sum())))
    return rows


def set_rows(true_N: Floats) -> list[tuple[float, float]]:
    """`Calibration.sets` of images whose true class has these probabilities.

    Split conformal prediction with the score 1 - probability (Sadinle, Lei & Wasserman 2019): of
    N + 1 exchangeable images, the new one is among the ceil((N + 1) * coverage) best with at least
    that coverage. Coverages that N images are too few for are left out.
    """
    falling = np.sort(true_N)[::-1]
    # Rounded, as (N + 1) * coverage may lie just above a whole number that it should be.
    ranks = {coverage: math.ceil(round((len(falling) + 1) * coverage, 9)) for coverage in COVERAGES}
    return [(coverage, float(falling[k - 1])) for coverage, k in ranks.items() if k <= len(falling)]


def parse_calibration(value: Any) -> Calibration | None:
    """The calibration in a model file, which may come from an untrusted source; None without one.

    Raises:
        TypeError: for the first value that is not as `Calibration.content` writes it.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise TypeError("calibration is not a mapping")
    temperature: Any = value.get("temperature")
    images: Any = value.get("images")
    rule = f"a number from {LOWEST} to {HIGHEST}"
    check("temperature", rule, is_number(temperature, LOWEST, HIGHEST))
    check("images", "an integer >= 1", is_integer(images, 1, MAX_IMAGES))
    reject = rows_of(value, "reject", 3)
    for threshold, accepted, errors in reject:
        check("reject", "a list of [probability, ...]", is_number(threshold, 0, 1))
        fits = is_integer(accepted, 1, images) and is_integer(errors, 0, accepted)
        check("reject", "a list of [..., accepted <= images, errors <= accepted]", fits)
    check("reject", "a list in order", is_rising([row[0] for row in reject]))
    sets = rows_of(value, "sets", 2)
    for coverage, least in sets:
        fits = is_number(coverage, 0, 1) and is_number(least, 0, 1)
        check("sets", "a list of [coverage, probability]", fits)
    check("sets", "a list in order", is_rising([row[0] for row in sets]))
    return Calibration(
        float(temperature),
        images,
        tuple((float(threshold), accepted, errors) for threshold, accepted, errors in reject),
        tuple((float(coverage), float(least)) for coverage, least in sets),
    )


def rows_of(value: Mapping[str, Any], key: str, length: int) -> list[Any]:
    """The rows of a table in a model file, each with `length` entries."""
    rows: Any = value.get(key)
    rule = f"a list of at most {MAX_ROWS} rows of {length} numbers"
    check(key, rule, isinstance(rows, (list, tuple)) and len(rows) <= MAX_ROWS)
    for row in rows:
        check(key, rule, isinstance(row, (list, tuple)) and len(row) == length)
    return list(rows)


def is_number(value: Any, low: float, high: float) -> bool:
    """Whether `value` is a number in this range; NaN never is."""
    is_plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_plain and low <= value <= high


def is_rising(values: list[Any]) -> bool:
    return all(low < high for low, high in itertools.pairwise(values))


def check(key: str, rule: str, holds: bool) -> None:
    if not holds:
        raise TypeError(f"calibration.{key} is not {rule}")
