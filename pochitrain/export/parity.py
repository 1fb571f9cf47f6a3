"""Comparison of the outputs of two engines."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_AGREEMENT = 99.9
"""Smallest accepted percentage of images with the same predicted class, and with the same
confidence."""
MAX_CONFIDENCE_DIFFERENCE = 0.01
"""Confidences that are no further apart count as the same."""


@dataclass
class Parity:
    """How much the outputs of the exported model differ from those of the original."""

    images: int
    max_abs_logit_difference: float
    top1_agreement: float
    """Percent."""
    max_abs_confidence_difference: float
    confidence_agreement: float
    """Percent."""
    min_agreement: float = MIN_AGREEMENT

    @property
    def proven(self) -> bool:
        """Whether enough images get the same class, and enough the same confidence."""
        least = min(self.top1_agreement, self.confidence_agreement)
        return self.images > 0 and least >= self.min_agreement

    def summary(self) -> dict[str, Any]:
        """The fields and `proven`, for parity.json."""
        return {**asdict(self), "proven": self.proven}


def compare(original_NC: NDArray[np.float32], exported_NC: NDArray[np.float32]) -> Parity:
    """Compare the logits of the same N images. An image with a non-finite logit never agrees."""
    assert original_NC.shape == exported_NC.shape
    num = len(original_NC)
    if num == 0:
        return Parity(0, float("nan"), 0.0, float("nan"), 0.0)
    difference = np.abs(original_NC.astype(np.float64) - exported_NC.astype(np.float64))
    # argmax alone could agree on NaN and infinities.
    finite = np.isfinite(exported_NC).all(axis=1)
    same = (original_NC.argmax(axis=1) == exported_NC.argmax(axis=1)) & finite
    apart = np.abs(confidence(original_NC) - confidence(exported_NC))
    alike = apart <= MAX_CONFIDENCE_DIFFERENCE  # false for NaN
    return Parity(
        num,
        float(difference.max()),
        100 * int(same.sum()) / num,
        float(apart.max()),
        100 * int(alike.sum()) / num,
    )


def confidence(logits_NC: NDArray[np.float32]) -> NDArray[np.float64]:
    """The largest probability of each image, shape (N,); NaN for a non-finite logit."""
    logits = logits_NC.astype(np.float64)
    with np.errstate(invalid="ignore"):
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        largest: NDArray[np.float64] = powers.max(axis=1) / powers.sum(axis=1)
    return largest
