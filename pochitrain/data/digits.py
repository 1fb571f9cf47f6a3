"""`data=digits`: real handwritten digits without a download."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from pochitrain.data.dataset import DataSplits, Subset
from pochitrain.data.split import stratified_split


@dataclass
class Digits:
    """Grey images in memory, enlarged once."""

    images: list[Image.Image]
    labels: list[int]
    in_memory = True

    def __len__(self) -> int:
        return len(self.images)

    def load(self, index: int) -> Image.Image:
        return self.images[index]

    def size(self, index: int) -> tuple[int, int]:
        return self.images[index].size

    def name(self, index: int) -> str:
        return f"digits[{index}]"


def open_digits(*, image_size: int, val_fraction: float, seed: int) -> DataSplits:
    """The 1,797 handwritten digits of 43 people that scikit-learn ships.

    Source: Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI 1998 (8 x 8 px).

    Args:
        image_size: side in pixels that the 8 x 8 images are enlarged to (bicubic).
        val_fraction: part of each class that is kept for validation.
        seed: of the split.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    size = (image_size, image_size)
    images = [
        Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC).convert("RGB")
        for grey in pixels
    ]
    digits = Digits(images, [int(label) for label in bunch.target])
    train, val = stratified_split(digits.labels, val_fraction, seed)
    names = [str(name) for name in bunch.target_names]
    return DataSplits(Subset(digits, train), Subset(digits, val), names, skipped=[])
