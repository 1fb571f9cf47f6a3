"""Group `data`: where the images come from and how they are loaded."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from omegaconf import MISSING

from pochitrain.config.loader import Color, LoaderConfig
from pochitrain.config.shards import ShardsConfig, check_shards
from pochitrain.config.table import TableConfig, check_table
from pochitrain.config.validators import Choice, Node, Range, Seed, check_fields
from pochitrain.error import require

Fraction = Range(gt=0, lt=1)


@dataclass
class DigitsConfig(LoaderConfig):
    """The 1,797 handwritten digits that scikit-learn ships (Alpaydin & Kaynak 1998)."""

    _target_: str = "pochitrain.data.digits.open_digits"
    image_size: Annotated[int, Range(ge=8), Range(le=512)] = 32
    """Pixels; all 1,797 pictures are kept in memory at this size."""
    val_fraction: Annotated[float, Fraction] = 0.2
    seed: Seed = "${seed}"  # type: ignore[assignment]  # interpolation


@dataclass
class FolderConfig(LoaderConfig):
    """Images in `root/<class>/**`; validation from a root of its own, a fraction, or none."""

    _target_: str = "pochitrain.data.folder.open_folder"
    train_root: str = MISSING
    val_root: str | None = None
    val_fraction: Annotated[float | None, Fraction] = None
    seed: Seed = "${seed}"  # type: ignore[assignment]  # interpolation
    on_error: Annotated[str, Choice(("error", "skip"))] = "error"
    """error: name every unreadable image and stop; skip: train without them."""
    verify: bool = True
    """Check every image once before training (remembered between runs)."""
    background: Annotated[list[int], Color] = field(default_factory=lambda: [255, 255, 255])
    """RGB, 0-255: what transparent pixels are composited on."""


def check_data(node: Node, root: Node) -> None:
    """Check the loader settings, and that no validation image is a training image.

    A user's kind of data may have loader settings too.
    """
    check_fields(LoaderConfig, node, "data.")
    if node.get("_target_") == TableConfig._target_:
        check_table(node, root)
    if node.get("_target_") == ShardsConfig._target_:
        check_shards(node)
    if node.get("_target_") != FolderConfig._target_ or node["val_root"] is None:
        return
    require(
        node["val_fraction"] is None,
        "data.val_fraction",
        "null when data.val_root is given",
        node["val_fraction"],
        "Validation pictures come from one place.",
    )
    shared = find_shared_folder(Path(node["train_root"]), Path(node["val_root"]))
    require(
        shared is None,
        "data.val_root",
        "a folder of other pictures than data.train_root",
        node["val_root"],
        f"{shared} leads to pictures that are trained on. data.val_fraction=0.2 keeps a part of "
        "the training pictures for validation.",
    )


def find_shared_folder(train_root: Path, val_root: Path) -> Path | None:
    """`val_root` or the first class folder in it that, with links resolved, is in `train_root`."""
    train = train_root.resolve()
    classes = (
        sorted(path for path in val_root.iterdir() if path.is_dir()) if val_root.is_dir() else []
    )
    for folder in (val_root, *classes):
        if folder.resolve().is_relative_to(train):
            return folder
    return None


def has_validation(root: Node) -> bool:
    """Whether the run will have validation images, judging by the config alone."""
    node = root["data"]
    if node.get("_target_") in (TableConfig._target_, ShardsConfig._target_):
        keys = ("split_column", "val_shards", "val_fraction", "num_folds")
        return any(node.get(key) is not None for key in keys)
    if "val_root" not in node:  # digits, or a source of the user's own
        return True
    return node["val_root"] is not None or node.get("val_fraction") is not None


SCHEMAS = {
    "digits": DigitsConfig,
    "folder": FolderConfig,
    "table": TableConfig,
    "shards": ShardsConfig,
}
