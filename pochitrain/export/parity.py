"""Whether two engines give the same answers."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_AGREEMENT = 99.9
"""Percent of images whose most likely class must be the same."""


@dataclass
class Parity:
    """How far the exported model's answers are from the original's."""

    images: int
    max_abs_logit_difference: float
    top1_agreement: float
    """Percent."""
    min_agreement: float = MIN_AGREEMENT

    @property
    def proven(self) -> bool:
        return self.images > 0 and self.top1_agreement >= self.min_agreement

    def summary(self) -> dict[str, Any]:
        return {**asdict(self), "proven": self.proven}


def compare(original_NC: NDArray[np.float32], exported_NC: NDArray[np.float32]) -> Parity:
    """Compare the logits of the same N images. A NaN agrees with nothing."""
    assert original_NC.shape == exported_NC.shape
    num = len(original_NC)
    if num == 0:
        return Parity(0, float("nan"), 0.0)
    # A difference of float32 infinities is NaN, which must not pass either.
    difference = np.abs(original_NC.astype(np.float64) - exported_NC.astype(np.float64))
    finite = np.isfinite(exported_NC).all(axis=1)
    same = (original_NC.argmax(axis=1) == exported_NC.argmax(axis=1)) & finite
    return Parity(num, float(difference.max()), 100 * int(same.sum()) / num)
