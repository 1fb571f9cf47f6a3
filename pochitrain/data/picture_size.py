"""Sizes and shapes of the images of a set, from their headers, and what suits them."""

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pochitrain.data.dataset import ImageDataset
from pochitrain.data.decode import UnreadableImageError
from pochitrain.data.progress import WaitDisplay
from pochitrain.seed import derive_seed

SAMPLED = 2000
"""Images whose header is read; of a larger set so many, drawn at random, always the same."""

TYPICAL_LOSS, LARGE_LOSS = 0.35, 0.5
"""A crop is chosen where half of the images lose no more than the first, and 95 % no more than the
second: photographs of 4 : 3 lose 0.25, of 3 : 2 a third."""
ALIKE = 1.5
"""Images are alike in shape if the ratios of width to height of 90 % differ by this factor or less:
then squashing makes them look alike too, and wastes no pixels."""

STEP_PX = 32
LEAST_PX, MOST_PX = 32, 224


@dataclass
class PictureSizes:
    """Width and height in pixels of images, int64, shape (N, 2), N > 0."""

    sizes: NDArray[np.int64]

    @property
    def num_looked_at(self) -> int:
        return len(self.sizes)

    def crop_loss(self, percentile: float) -> float:
        """Part of the area beyond the central square, from 0 to 1, of the image at a percentile."""
        loss = 1 - self.sizes.min(axis=1) / self.sizes.max(axis=1)
        return float(np.percentile(loss, percentile))

    def suits_crop(self) -> bool:
        """Whether hardly anything is lost by a crop."""
        return self.crop_loss(50) <= TYPICAL_LOSS and self.crop_loss(95) <= LARGE_LOSS

    def choose_fit(self) -> str:
        """crop where hardly anything is lost; else squash for images alike in shape, else pad."""
        if self.suits_crop():
            return "crop"
        low, high = np.percentile(self.sizes[:, 0] / self.sizes[:, 1], (5, 95))
        return "squash" if high <= ALIKE * low else "pad"

    def typical_side(self, fit: str) -> int:
        """Side in pixels of the square that a typical image fills: the median of the shorter side
        (crop), of the longer one (pad), or of the side of a square of the same area (squash)."""
        sides = {
            "crop": self.sizes.min(axis=1),
            "pad": self.sizes.max(axis=1),
            "squash": np.sqrt(self.sizes.prod(axis=1)),
        }
        return round(float(np.median(sides[fit])))

    def choose_size(self, fit: str) -> int:
        """The typical side as a multiple of 32 from 32 to 224, the nearest one."""
        rounded = (self.typical_side(fit) + STEP_PX // 2) // STEP_PX * STEP_PX
        return min(MOST_PX, max(LEAST_PX, rounded))


def look_at_sizes(dataset: ImageDataset, limit: int = SAMPLED) -> PictureSizes | None:
    """The sizes of at most `limit` images; None if no header can be read."""
    chosen = np.arange(len(dataset))
    if len(dataset) > limit:
        generator = np.random.default_rng(derive_seed(0, "sizes", len(dataset)))
        chosen = np.sort(generator.choice(len(dataset), limit, replace=False))
    sizes = []
    with WaitDisplay("Looking at the sizes of pictures", len(chosen)) as display:
        for index in chosen.tolist():
            with suppress(UnreadableImageError):  # said where it is read
                sizes.append(dataset.size(index))
            display.advance()
    return PictureSizes(np.array(sizes, np.int64)) if sizes else None
