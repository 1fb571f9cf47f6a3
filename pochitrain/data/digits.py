"""`data=digits`: real handwritten digits without a download."""

import gzip
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pochitrain.data.dataset import DataSplits
from pochitrain.data.divide import divide
from pochitrain.data.split import SplitRule


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


def open_digits(
    *,
    image_size: int,
    val_fraction: float | None,
    seed: int,
    test_fraction: float | None = None,
    num_folds: int | None = None,
    fold: int | None = None,
) -> DataSplits:
    """The 1,797 handwritten digits of 43 people that scikit-learn ships.

    Source: Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI 1998 (8 x 8 px).

    Args:
        image_size: side in pixels that the 8 x 8 images are enlarged to (bicubic).
        val_fraction: part of each class that is kept for validation; not used with `num_folds`.
        seed: of the split.
        test_fraction: part of each class that is kept for the test at the end.
        num_folds: divide into so many parts, of which number `fold` is for validation.
        fold: from 0.
    """
    grey_levels, labels = read_digits()
    pixels = np.round(grey_levels * (255 / 16)).astype(np.uint8)
    size = (image_size, image_size)
    images = [
        Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC).convert("RGB")
        for grey in pixels
    ]
    digits = Digits(images, labels)
    rule = SplitRule(None if num_folds else val_fraction, test_fraction, num_folds, fold, seed)
    return divide(digits, [str(digit) for digit in range(10)], rule)


def read_digits() -> tuple[NDArray[np.float64], list[int]]:
    """(images with grey levels from 0 to 16, shape (1797, 8, 8); labels) of scikit-learn's file.

    The file is read directly where it is found: importing scikit-learn takes longer than torch.
    """
    spec = importlib.util.find_spec("sklearn")  # does not import it
    for place in (spec and spec.submodule_search_locations) or ():
        path = Path(place) / "datasets" / "data" / "digits.csv.gz"
        if path.is_file():
            with gzip.open(path, "rt", encoding="ascii") as file:
                rows = np.loadtxt(file, delimiter=",")
            return rows[:, :64].reshape(-1, 8, 8), [int(label) for label in rows[:, 64]]
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return bunch.images, [int(label) for label in bunch.target]
