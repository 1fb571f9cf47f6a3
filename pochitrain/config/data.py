"""Group `data`: where the images come from and how they are loaded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from omegaconf import MISSING

from pochitrain.config.loader import Color, LoaderConfig
from pochitrain.config.shards import ShardsConfig, check_shards
from pochitrain.config.split import (
    Fraction,
    GroupedSplitConfig,
    GroupPattern,
    SplitConfig,
    check_split,
)
from pochitrain.config.table import TableConfig, check_table
from pochitrain.config.validators import Choice, Node, Range, check_fields
from pochitrain.error import require


@dataclass
class DigitsConfig(SplitConfig, LoaderConfig):
    """The 1,797 handwritten digits that scikit-learn ships (Alpaydin & Kaynak 1998)."""

    _target_: str = "pochitrain.data.digits.open_digits"
    image_size: Annotated[int, Range(ge=8), Range(le=512)] = 32
    """Pixels; all 1,797 pictures are kept in memory at this size."""
    val_fraction: Annotated[float | None, Fraction] = 0.2


@dataclass
class FolderConfig(GroupedSplitConfig, LoaderConfig):
    """Images in `root/<class>/**`; validation from a root of its own, a fraction, or none."""

    _target_: str = "pochitrain.data.folder.open_folder"
    train_root: str = MISSING
    """Folder of training images, with a folder for each class."""
    val_root: str | None = None
    """The same for validation; null = as val_fraction or num_folds say."""
    test_root: str | None = None
    """Pictures on which the best model is tested once, at the end."""
    group_by: Annotated[str | None, GroupPattern()] = None
    """Regular expression for the path of a picture relative to its root; its ( ), or the whole
    match, is the group: patient, camera, lot, date. No group is on two sides."""
    split_by_time: Annotated[str | None, Choice(("exif", "file"))] = None
    """Hold out the newest pictures of each class, by the camera's clock or the time of the file."""
    on_error: Annotated[str, Choice(("error", "skip"))] = "error"
    """error: name every unreadable image and stop; skip: train without them."""
    verify: bool = True
    """Check every image once before training (remembered between runs)."""
    background: Annotated[list[int], Color] = field(default_factory=lambda: [255, 255, 255])
    """RGB, 0-255: what transparent pixels are composited on."""


def check_data(node: Node, root: Node) -> None:
    """Check the loader settings, the split, and that no validation image is a training image.

    A user's kind of data may have loader settings too.
    """
    check_fields(LoaderConfig, node, "data.")
    target = node.get("_target_")
    if target == DigitsConfig._target_:
        check_split(node, DigitsConfig.val_fraction)
    if target == FolderConfig._target_:
        check_split(node)
        check_roots(node)
    if target == TableConfig._target_:
        check_table(node, root)
    if target == ShardsConfig._target_:
        check_shards(node)


def check_roots(node: Node) -> None:
    """Check that each image is in one place only: in training, validation or test."""
    val_root, test_root = node["val_root"], node.get("test_root")
    rule, remedy = "null when data.val_root is given", "Validation pictures come from one place."
    for key in ("val_fraction", "num_folds"):
        value = node.get(key)
        require(val_root is None or value is None, f"data.{key}", rule, value, remedy)
    fraction = node.get("test_fraction")
    rule, remedy = "null when data.test_root is given", "Test pictures come from one place."
    require(test_root is None or fraction is None, "data.test_fraction", rule, fraction, remedy)
    roots = {"data.train_root": node["train_root"], "data.val_root": val_root}
    given = {key: Path(value) for key, value in roots.items() if value is not None}
    if val_root is not None:
        require_apart("data.val_root", val_root, {"data.train_root": given["data.train_root"]})
    if test_root is not None:
        require_apart("data.test_root", test_root, given)


MEANING = {
    "data.train_root": (
        "pictures that are trained on. data.{part}_fraction={share} keeps a part of the training "
        "pictures for {name}."
    ),
    "data.val_root": "pictures that are validated on, by which the best model is chosen.",
}
"""Key of a root -> what is wrong about its images being elsewhere too."""


def require_apart(key: str, root: str, others: Mapping[str, Path]) -> None:
    """Refuse a root that leads into another one."""
    part = "val" if key == "data.val_root" else "test"
    name, share = ("validation", 0.2) if part == "val" else ("the test", 0.1)
    for other, path in others.items():
        shared = find_shared_folder(path, Path(root))
        meaning = MEANING[other].format(part=part, name=name, share=share)
        rule = f"a folder of other pictures than {other}"
        require(shared is None, key, rule, root, f"{shared} leads to {meaning}")


def find_shared_folder(other: Path, root: Path) -> Path | None:
    """`root` or the first class folder in it that, with links resolved, is in `other`."""
    there = other.resolve()
    classes = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    for folder in (root, *classes):
        if folder.resolve().is_relative_to(there):
            return folder
    return None


WITHOUT_VALIDATION = (FolderConfig._target_, TableConfig._target_, ShardsConfig._target_)
"""Targets that give no validation images unless a key asks for them."""


def has_validation(root: Node) -> bool:
    """Whether the run will have validation images, judging by the config alone."""
    node = root["data"]
    keys = ["val_root", "val_shards", "split_column", "val_fraction", "num_folds"]
    if node.get("_target_") not in WITHOUT_VALIDATION and "val_root" not in node:
        return True  # digits, or a source of the user's own
    return any(node.get(key) is not None for key in keys)


SCHEMAS = {
    "digits": DigitsConfig,
    "folder": FolderConfig,
    "table": TableConfig,
    "shards": ShardsConfig,
}
