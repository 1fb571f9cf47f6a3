"""Group `data`: where the images come from and how they are loaded."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from omegaconf import MISSING

from pochitrain.config.split import (
    Fraction,
    GroupedSplitConfig,
    GroupPattern,
    SplitConfig,
    check_split,
)
from pochitrain.config.validators import Choice, Node, Numbers, Range, Rule, check_fields
from pochitrain.error import require

MAX_NUM_WORKERS = max(64, 4 * (os.cpu_count() or 1))
"""More processes would only compete for the cores; thousands can bring a machine down."""
Color = Numbers("3 integers from 0 to 255 (red, green, blue)", Range(ge=0, le=255), count=3)


OnOffAuto = Rule(
    "one of auto, on, off", lambda value: value in ("auto", "on", "off", "True", "False")
)
"""True and False are what YAML makes of `on` and `off` without quotes."""


@dataclass
class LoaderConfig:
    """How batches are made. Only batch_size, cache_px and balanced_sampling affect the results."""

    batch_size: Annotated[int, Range(ge=1)] = "${batch_size}"  # type: ignore[assignment]  # interpolation
    num_workers: Annotated[
        int | None,
        Range(ge=0, remedy="0 loads in the main process."),
        Range(le=MAX_NUM_WORKERS, remedy="Leave it null to choose by the cores of this machine."),
    ] = None
    """Loader processes; null = automatic: half the cores, 0 where that would not be faster."""
    pin_memory: bool | None = None
    """Page-locked host memory; null = on where a GPU is used."""
    infer_pin_memory: bool | None = None
    """The same for validation and inference; null = as pin_memory."""
    non_blocking: bool = True
    """Copy to the GPU without waiting."""
    cache: Annotated[str, OnOffAuto] = "auto"
    """Keep decoded images in files, for later epochs and runs. auto: where they fit; on: or it is
    an error; off. The result is the same."""
    cache_gb: Annotated[float, Range(ge=0)] = 8.0
    """GB (10^9 bytes) that all such files together may take in the user's cache directory."""
    cache_px: Annotated[int | None, Range(ge=8)] = None
    """Shorter side in pixels that larger images are reduced to before a RandomResizedCrop, so that
    they take less room; null = they keep their size."""
    balanced_sampling: bool = False
    """Draw every class equally often (with replacement) instead of each image once."""


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
    val_root: str | None = None
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


LOADER_FIELDS = tuple(LoaderConfig.__dataclass_fields__)


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


def has_validation(root: Node) -> bool:
    """Whether the run will have validation images, judging by the config alone."""
    node = root["data"]
    if "val_root" not in node:  # digits, or a source of the user's own
        return True
    keys = ("val_root", "val_fraction", "num_folds")
    return any(node.get(key) is not None for key in keys)


SCHEMAS = {"digits": DigitsConfig, "folder": FolderConfig}
