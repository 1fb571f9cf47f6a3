"""The pictures of both sides of a split, as one sequence."""

import hashlib
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pochitrain.data.dataset import DataSplits, ImageDataset
from pochitrain.data.twins import file_of


class Pictures:
    """Training pictures, then those of validation, by one number."""

    def __init__(self, data: DataSplits) -> None:
        self.sides: list[ImageDataset] = [data.train, *([] if data.val is None else [data.val])]
        self.num_train = len(data.train)
        self.class_names = data.class_names
        self.labels: NDArray[np.int64] = np.concatenate(
            [np.asarray(side.labels, np.int64) for side in self.sides]
        )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def is_val(self) -> NDArray[np.bool_]:
        """Shape (N,)."""
        return np.arange(len(self)) >= self.num_train

    def place(self, number: int) -> tuple[ImageDataset, int]:
        """The set of a picture, and its position there."""
        if number < self.num_train:
            return self.sides[0], number
        return self.sides[1], number - self.num_train

    def load(self, number: int) -> Image.Image:
        """The picture in RGB.

        Raises:
            UnreadableImageError: if it cannot be read.
        """
        dataset, index = self.place(number)
        return dataset.load(index)

    def name(self, number: int) -> str:
        dataset, index = self.place(number)
        return dataset.name(index)

    @cached_property
    def names(self) -> list[str]:
        return [self.name(number) for number in range(len(self))]

    def class_name(self, number: int) -> str:
        return self.class_names[int(self.labels[number])]

    def path(self, number: int) -> str | None:
        """The file of a picture; None for one that is no file."""
        dataset, index = self.place(number)
        return file_of(dataset, index)


def digest(data: bytes | memoryview) -> bytes:
    """16 bytes that differ for different content (BLAKE2b)."""
    return hashlib.blake2b(data, digest_size=16).digest()
