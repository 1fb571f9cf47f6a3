"""Group `data`: where the images come from and how they are loaded."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from omegaconf import MISSING

from pochitrain.config.validators import Choice, Node, Numbers, Range, Rule, Seed, check_fields
from pochitrain.error import require

MAX_NUM_WORKERS = max(64, 4 * (os.cpu_count() or 1))
"""More processes would only compete for the cores; thousands can bring a machine down."""
Fraction = Range(gt=0, lt=1)
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
    """Loader processes; null = automatic: half the cores, for a GPU all but one, 0 where that would
    not be faster."""
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


LOADER_FIELDS = tuple(LoaderConfig.__dataclass_fields__)


def check_data(node: Node, root: Node) -> None:
    """Check the loader settings, and that no validation image is a training image.

    A user's kind of data may have loader settings too.
    """
    check_fields(LoaderConfig, node, "data.")
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
    if "val_root" not in node:  # digits, or a source of the user's own
        return True
    return node["val_root"] is not None or node.get("val_fraction") is not None


SCHEMAS = {"digits": DigitsConfig, "folder": FolderConfig}
