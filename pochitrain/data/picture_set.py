"""What every source of pictures offers, and the parts of a data set."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL import Image


class PictureSet(Protocol):
    """A sequence of labelled pictures."""

    @property
    def labels(self) -> Sequence[int]:
        """Class index of each picture."""
        ...

    @property
    def in_memory(self) -> bool:
        """True where loading a picture costs nothing, so that worker processes do not pay."""
        ...

    def __len__(self) -> int: ...

    def load(self, index: int) -> Image.Image:
        """The picture in mode RGB."""
        ...

    def name(self, index: int) -> str:
        """What a person finds the picture by (a path, for files)."""
        ...


@dataclass
class Subset:
    """Some pictures of another set, in the given order."""

    base: PictureSet
    indices: list[int]

    def __post_init__(self) -> None:
        self.labels = [self.base.labels[i] for i in self.indices]
        self.in_memory = self.base.in_memory

    def __len__(self) -> int:
        return len(self.indices)

    def load(self, index: int) -> Image.Image:
        return self.base.load(self.indices[index])

    def name(self, index: int) -> str:
        return self.base.name(self.indices[index])


@dataclass
class ImageData:
    """The splits of a data set. Labels of both index into `class_names`."""

    train: PictureSet
    val: PictureSet | None
    class_names: list[str]
    skipped: list[str]
    """Unreadable pictures that were left out (`data.on_error=skip`): "path: reason"."""

    def count_per_class(self, split: PictureSet) -> list[int]:
        counts = Counter(split.labels)
        return [counts[i] for i in range(len(self.class_names))]
