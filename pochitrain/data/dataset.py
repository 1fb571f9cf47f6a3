"""What every source of images offers, and the parts of a data set."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pochitrain.data.index import PathList
from pochitrain.data.progress import WaitDisplay
from pochitrain.error import ConfigError, require
from pochitrain.text import shorten_list

REMEDY = "docs/callback.md has an example."

Labels = Sequence[int] | NDArray[np.integer[Any]]
"""Class index of each image of a set, in its order."""


class ImageDataset(Protocol):
    """A sequence of labelled images.

    One with an attribute `sample_weights` (see `weights_of`) says how much each counts in training.
    """

    @property
    def labels(self) -> Labels:
        """Class index of each image."""
        ...

    @property
    def in_memory(self) -> bool:
        """True where loading an image costs nothing, so that worker processes do not pay."""
        ...

    def __len__(self) -> int: ...

    def load(self, index: int) -> Image.Image:
        """The image in mode RGB."""
        ...

    def size(self, index: int) -> tuple[int, int]:
        """Width and height in pixels, without decoding where that is possible."""
        ...

    def name(self, index: int) -> str:
        """What a person finds the image by (a path, for files)."""
        ...


def weights_of(dataset: ImageDataset) -> NDArray[np.float32] | None:
    """How much each image counts in the training loss, shape (N,), > 0; None = all the same."""
    weights = getattr(dataset, "sample_weights", None)
    return None if weights is None else np.asarray(weights, np.float32)


def groups_of(dataset: ImageDataset) -> NDArray[np.str_] | None:
    """The group of each image, shape (N,); None where images are independent, or it is unknown."""
    groups = getattr(dataset, "groups", None)
    return None if groups is None else np.asarray(groups)


@dataclass
class Subset:
    """Some images of another set, in the given order."""

    base: ImageDataset
    indices: Sequence[int] | NDArray[np.int64]
    groups: NDArray[np.str_] | None = None
    """See `groups_of`; shape (N,)."""

    def __post_init__(self) -> None:
        self.indices = np.asarray(self.indices, np.int64)
        self.labels = np.asarray(self.base.labels, np.int32)[self.indices]
        self.in_memory = self.base.in_memory
        weights = weights_of(self.base)
        self.sample_weights = None if weights is None else weights[self.indices]

    def position(self, index: int) -> int:
        """Of image `index` in the other set."""
        return int(self.indices[index])

    def __len__(self) -> int:
        return len(self.indices)

    def load(self, index: int) -> Image.Image:
        return self.base.load(self.position(index))

    def size(self, index: int) -> tuple[int, int]:
        return self.base.size(self.position(index))

    def name(self, index: int) -> str:
        return self.base.name(self.position(index))


@dataclass
class DataSplits:
    """The splits of a data set. Labels of all index into `class_names`."""

    train: ImageDataset
    val: ImageDataset | None
    class_names: list[str]
    skipped: list[str]
    """Unreadable images that were left out (`data.on_error=skip`): "path: reason"."""
    warnings: list[str] = field(default_factory=list)
    """Warnings to show."""
    test: ImageDataset | None = None
    """Images on which the best model is tested once, at the end; nothing else may see them."""
    division: str = ""
    """How the images were divided, for the person, where that is not the usual part."""
    group_digest: str = ""
    """Hash of the groups that decided how the images were divided; empty without groups."""
    train_groups: Sequence[str] | None = None
    """Group of each training image, where groups must not be divided any further either."""

    def count_per_class(self, split: ImageDataset) -> list[int]:
        counts = np.bincount(np.asarray(split.labels), minlength=len(self.class_names))
        return [int(count) for count in counts]


def count_pictures(data: DataSplits) -> dict[str, Any]:
    """Numbers of images by class of each split, for environment.json."""
    sides = {"train": data.train, "val": data.val, "test": data.test}
    counts = {name: data.count_per_class(side) for name, side in sides.items() if side is not None}
    return {
        "classes": data.class_names,
        **counts,
        "unreadable": len(data.skipped),
        "division": data.division,
    }


def require_splits(found: object) -> DataSplits:
    """What the function of group `data` returned, if that is data to train on.

    Raises:
        ConfigError: for another object, or splits that are not as ImageDataset says.
    """
    if not isinstance(found, DataSplits):
        raise ConfigError(
            "data must give a pochitrain.data.dataset.DataSplits, got "
            f"{type(found).__name__}. {REMEDY}"
        )
    require_dataset(found.train, found.class_names, "data: its training split")
    if found.val is not None:
        require_dataset(found.val, found.class_names, "data: its validation split")
    if found.test is not None:
        require_dataset(found.test, found.class_names, "data: its test split")
    for name, count in zip(found.class_names, found.count_per_class(found.train), strict=True):
        require(count > 0, f"data: class {name!r}", "in the training split too", "no picture")
    return found


def require_dataset(dataset: ImageDataset, class_names: list[str], what: str) -> None:
    """Refuse what is no ImageDataset of these classes.

    Args:
        what: how the message calls it.

    Raises:
        ConfigError: for a missing method, no images, or a label that is no index of a class.
    """
    parts = ("__len__", "labels", "in_memory", "load", "size", "name")
    missing = [part for part in parts if not hasattr(dataset, part)]
    given = type(dataset).__name__
    require(not missing, what, f"an ImageDataset with {shorten_list(missing)}", given, REMEDY)
    require(len(dataset) > 0, what, "at least one picture", "none")
    labels = np.unique(np.asarray(dataset.labels))
    wrong = labels[~np.isin(labels, np.arange(len(class_names)))].tolist()
    rule = f"labelled by indices into its {len(class_names)} class names"
    require(not wrong, what, rule, next(iter(wrong), None))
    weights = weights_of(dataset)
    if weights is not None:
        ok = weights.shape == (len(dataset),) and bool((weights > 0).all())
        rule = "with sample_weights > 0, one for each picture"
        require(ok and bool(np.isfinite(weights).all()), what, rule, f"shape {weights.shape}")


def fingerprint(data: DataSplits) -> str:
    """A hash of the file names, classes and weights of all images, in order; not of where they are.

    The test images do not count: no training depends on them. The groups do, if there are any.
    """
    digest = blake2b(digest_size=16)

    def add(split: ImageDataset) -> None:
        labels, names = np.asarray(split.labels), base_names(split)
        starts = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
        for start, stop in pairwise(
            starts if names else []
        ):  # a stretch of one class at once: a million are quick
            label = b"%d\t" % labels[start]
            digest.update(label + (b"\n" + label).join(names[start:stop]) + b"\n")

    for split in (data.train, data.val):
        digest.update(b"split\n")
        if split is not None:
            add(split)
            weights = weights_of(split)
            digest.update(b"" if weights is None else weights.tobytes())
    digest.update(data.group_digest.encode())
    return digest.hexdigest()


def base_names(split: ImageDataset) -> list[bytes]:
    """The name of each image without its folder."""
    if isinstance(split, Subset):
        names = base_names(split.base)
        return [names[position] for position in np.asarray(split.indices).tolist()]
    paths = getattr(split, "paths", None)
    if isinstance(paths, PathList):
        return paths.base_names()
    found = (split.name(index).rpartition("/")[2] for index in range(len(split)))
    return [name.encode("utf-8", "surrogateescape") for name in found]


def require_one_size(dataset: ImageDataset, key: str) -> None:
    """Refuse images of different size, for a pipeline that keeps sizes as they are.

    Args:
        key: dotted key of that pipeline, for the message.

    Raises:
        ConfigError: naming two images that differ.
    """
    first = dataset.size(0)
    with WaitDisplay("Comparing sizes of pictures", len(dataset)) as display:
        for index in range(1, len(dataset)):
            size = dataset.size(index)
            if size != first:
                raise ConfigError(
                    f"{key} must make all pictures one size, got {first[0]} x {first[1]} px "
                    f"({dataset.name(0)}) and {size[0]} x {size[1]} px ({dataset.name(index)}). "
                    "Add Resize and CenterCrop, or choose transform=imagenet."
                )
            display.advance()
