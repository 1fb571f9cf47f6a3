"""`data=folder`: root/<class>/**/image."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pochitrain.config.data_place import require_class_folders
from pochitrain.data.dataset import DataSplits, Labels
from pochitrain.data.decode import decode_rgb, upright_size
from pochitrain.data.divide import divide
from pochitrain.data.group import groups_of_paths
from pochitrain.data.index import (
    EXTENSIONS,
    FolderIndex,
    PathList,
    is_image_name,
    open_index,
    walk,
)
from pochitrain.data.picture_time import times_of_paths
from pochitrain.data.split import SplitRule
from pochitrain.data.verify import find_unreadable
from pochitrain.error import ConfigError
from pochitrain.text import shorten_list

WHITE = (255, 255, 255)


class ImageFolderDataset:
    """Image files and their classes."""

    in_memory = False

    def __init__(
        self,
        paths: Sequence[str],
        labels: Labels,
        background: tuple[int, int, int] = WHITE,
        weights: NDArray[np.float32] | None = None,
    ) -> None:
        """Hold the files.

        Args:
            labels: class index of each, or -1.
            background: RGB, 0-255, behind transparent pixels.
            weights: how much each counts in the training loss; None = all the same.
        """
        self.paths = paths if isinstance(paths, PathList) else PathList.of(paths)
        self.labels: NDArray[np.int32] = np.asarray(labels, np.int32)
        self.background = background
        self.sample_weights = weights

    def __len__(self) -> int:
        return len(self.paths)

    def load(self, index: int, least_px: int | None = None) -> Image.Image:
        """The image in RGB; see `decode_rgb` for `least_px`."""
        return decode_rgb(self.paths[index], self.background, least_px)

    def size(self, index: int) -> tuple[int, int]:
        return upright_size(self.paths[index])

    def name(self, index: int) -> str:
        return self.paths[index]

    def take(self, indices: NDArray[np.int64]) -> "ImageFolderDataset":
        """The images at `indices`, in that order."""
        weights = None if self.sample_weights is None else self.sample_weights[indices]
        return ImageFolderDataset(
            self.paths.take(indices), self.labels[indices], self.background, weights
        )


def open_folder(
    *,
    train_root: str,
    val_root: str | None = None,
    test_root: str | None = None,
    val_fraction: float | None = None,
    test_fraction: float | None = None,
    num_folds: int | None = None,
    fold: int | None = None,
    group_by: str | None = None,
    split_by_time: str | None = None,
    seed: int = 0,
    on_error: str = "error",
    background: tuple[int, int, int] = (255, 255, 255),
    verify: bool = True,
) -> DataSplits:
    """Index the images below `train_root` and, where given, `val_root` and `test_root`.

    Validation and test classes are mapped by name onto the training classes.

    Args:
        val_fraction: instead of `val_root`: part of each class that is kept for validation.
        test_fraction: instead of `test_root`: part of each class that is kept for the test.
        num_folds: instead of `val_fraction`: divide into so many parts; see `fold`.
        fold: which of them is for validation, from 0.
        group_by: regular expression; see `data.group.groups_of_paths`. No group is divided.
        split_by_time: "exif" or "file": the newest images of each class are held out.
        seed: of that split.
        on_error: "error" names every unreadable image at once; "skip" trains without them.
        background: RGB, 0-255, behind transparent pixels.
        verify: check every image once before training (remembered between runs): decode it, or
            look at its first bytes only, where `on_error` is "error" and the set is large.

    Raises:
        ConfigError: missing or empty folders, unknown classes, unreadable images, images without a
            group or time, or a class that is too small for the split.
    """
    rgb = (int(background[0]), int(background[1]), int(background[2]))
    index = open_root(train_root, "data.train_root")
    class_names = index.folders
    train = label_images(index, class_names, "data.train_root", rgb)
    warnings = describe_loose_names(index.loose, "data.train_root")
    others: dict[str, tuple[ImageFolderDataset, FolderIndex]] = {}
    for key, root in (("data.val_root", val_root), ("data.test_root", test_root)):
        if root is not None:
            others[key] = open_other_root(root, key, class_names, rgb)
            warnings += describe_loose_names(others[key][1].loose, key)
    skipped: list[str] = []
    if verify:
        train, skipped = drop_unreadable(train, index, class_names, on_error)
        for key, (dataset, listed) in others.items():
            kept, more = drop_unreadable(dataset, listed, class_names, on_error)
            others[key] = (kept, listed)
            skipped += more
    rule = SplitRule(None if num_folds else val_fraction, test_fraction, num_folds, fold, seed)
    groups = None if group_by is None else groups_of_paths(train.paths, index.root, group_by)
    times = None if split_by_time is None else times_of_paths(train.paths, split_by_time)
    data = divide(train, class_names, rule, groups, times)
    data.skipped, data.warnings = skipped, warnings
    if val_root is not None:
        data.val = others["data.val_root"][0]
    if test_root is not None:
        data.test = others["data.test_root"][0]
    return data


def open_other_root(
    root: str, key: str, class_names: list[str], background: tuple[int, int, int]
) -> tuple[ImageFolderDataset, FolderIndex]:
    """The images below a root that may only hold classes of the training.

    Raises:
        ConfigError: for another class, or a missing or empty folder.
    """
    index = open_root(root, key)
    matched = match_classes(index.folders, class_names)
    unknown = [name for name in index.folders if matched[name] is None]
    if unknown:
        raise ConfigError(
            f"{key} must only hold classes of data.train_root, got "
            f"{', '.join(map(repr, unknown))} in {root!r}. "
            f"Classes: {shorten_list(class_names)}."
        )
    return label_images(index, class_names, key, background), index


def open_root(root: str | Path, key: str) -> FolderIndex:
    """The index of a folder of class folders; hidden ones are ignored.

    Raises:
        ConfigError: if the root is no folder or holds no class.
    """
    require_class_folders(root, key)
    index = open_index(root)
    if not index.folders:
        raise ConfigError(
            f"{key} must hold one folder for each class (ROOT/<class>/*.jpg), got {str(root)!r} "
            "without folders."
        )
    return index


def list_folders(root: Path) -> list[str]:
    """Sorted names of the folders directly in `root`, without hidden ones."""
    return sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def match_classes(folders: Sequence[str], class_names: Sequence[str]) -> dict[str, str | None]:
    """The class that each folder is called after, None for one that is no class.

    The letters count and not how Unicode spells them: macOS writes ガ as カ and a mark.
    """
    spelled = {unicodedata.normalize("NFC", name): name for name in class_names}
    exact = set(class_names)
    return {
        name: name if name in exact else spelled.get(unicodedata.normalize("NFC", name))
        for name in folders
    }


def list_images(folder: str | Path) -> list[str]:
    """Image files anywhere below `folder`, sorted; hidden files and folders are ignored.

    Links to folders are followed, except to one that holds the link: that would never end.
    """
    return sorted(path for path, _ in walk("", str(folder), [], []))


def list_loose_images(root: str | Path) -> list[str]:
    """Images directly in `root`, which belong to no class."""
    files = (path for path in Path(root).iterdir() if not path.is_dir())
    return sorted(
        path.name for path in files if not path.name.startswith(".") and is_image_name(path.name)
    )


def describe_loose(root: str | Path, key: str) -> list[str]:
    """A warning if there are images directly in `root`."""
    return describe_loose_names(list_loose_images(root), key)


def describe_loose_names(loose: list[str], key: str) -> list[str]:
    if not loose:
        return []
    return [
        f"{key} holds {len(loose)} picture(s) outside its class folders, which are not used: "
        f"{shorten_list(loose, 3)}."
    ]


def label_images(
    index: FolderIndex, class_names: list[str], key: str, background: tuple[int, int, int]
) -> ImageFolderDataset:
    """The images of an index, labelled by position in `class_names`.

    Raises:
        ConfigError: if a class folder holds no image.
    """
    empty = [str(Path(index.root) / index.folders[i]) for i in np.flatnonzero(index.counts == 0)]
    if empty:
        raise ConfigError(
            f"{key} must not hold empty class folders, got {shorten_list(empty)}. Add pictures "
            f"({' '.join(EXTENSIONS)}) or delete the folder."
        )
    position = {name: i for i, name in enumerate(class_names)}
    matched = match_classes(index.folders, class_names)
    of_folder = [position[matched[name] or name] for name in index.folders]
    labels = np.repeat(np.array(of_folder, np.int32), index.counts)
    return ImageFolderDataset(index.paths, labels, background)


def drop_unreadable(
    dataset: ImageFolderDataset, index: FolderIndex, class_names: list[str], on_error: str
) -> tuple[ImageFolderDataset, list[str]]:
    """The readable images, and "path: reason" for each of the others.

    Args:
        index: of the images of `dataset`, in the same order.

    Raises:
        ConfigError: naming all unreadable files, or a class that would be left without images.
    """
    bad = find_unreadable(index, all_pixels=on_error == "skip")
    return drop_images(dataset, bad, class_names, on_error)


def drop_images(
    dataset: ImageFolderDataset, bad: dict[int, str], class_names: list[str], on_error: str
) -> tuple[ImageFolderDataset, list[str]]:
    """The images that are not `bad`, and "path: reason" for each of these.

    Args:
        bad: position of an image -> why it cannot be read.

    Raises:
        ConfigError: as `drop_unreadable`.
    """
    if not bad:
        return dataset, []
    lines = [f"{dataset.paths[i]}: {reason}" for i, reason in sorted(bad.items())]
    if on_error == "error":
        listed = "\n".join(f"  {line}" for line in lines)
        raise ConfigError(
            f"data holds {len(bad)} unreadable picture(s):\n{listed}\n"
            "Repair or delete them, or train without them: data.on_error=skip."
        )
    kept = dataset.take(np.setdiff1d(np.arange(len(dataset)), list(bad)))
    for label in sorted({*dataset.labels.tolist()} - {*kept.labels.tolist()}):
        raise ConfigError(
            f"data.on_error=skip leaves class {class_names[label]!r} without pictures:\n  "
            + "\n  ".join(lines)
        )
    return kept, lines
