"""Group `data`: where the images come from and how they are loaded."""

from dataclasses import dataclass, field

from omegaconf import MISSING

from pochitrain.config.validators import Node, require_choice, require_int, require_range
from pochitrain.error import require


@dataclass
class LoaderConfig:
    """How batches are made; `batch_size`, `cache_px` and `balanced_sampling` change a result."""

    batch_size: int = "${batch_size}"  # type: ignore[assignment]  # interpolation
    num_workers: int | None = None
    """Loader processes; null = automatic: half the cores, 0 where that would not be faster."""
    pin_memory: bool | None = None
    """Page-locked host memory; null = on where a GPU is used."""
    infer_pin_memory: bool | None = None
    """The same for validation and inference; null = as pin_memory."""
    non_blocking: bool = True
    """Copy to the GPU without waiting."""
    cache: str = "auto"
    """Keep decoded images in files, for later epochs and runs. auto: where they fit; on: or it is
    an error; off. The result is the same."""
    cache_gb: float = 8.0
    """GB (10^9 bytes) that all such files together may take in the user's cache directory."""
    cache_px: int | None = None
    """Shorter side in pixels that larger images are reduced to before a RandomResizedCrop, so that
    they take less room; null = they keep their size."""
    balanced_sampling: bool = False
    """Draw every class equally often (with replacement) instead of each image once."""


@dataclass
class DigitsConfig(LoaderConfig):
    """The 1,797 handwritten digits that scikit-learn ships (Alpaydin & Kaynak 1998)."""

    _target_: str = "pochitrain.data.digits.open_digits"
    image_size: int = 32
    val_fraction: float = 0.2
    seed: int = "${seed}"  # type: ignore[assignment]  # interpolation


@dataclass
class FolderConfig(LoaderConfig):
    """`root/<class>/**/image`, with a validation root, a fraction, or none."""

    _target_: str = "pochitrain.data.folder.open_folder"
    train_root: str = MISSING
    val_root: str | None = None
    val_fraction: float | None = None
    seed: int = "${seed}"  # type: ignore[assignment]  # interpolation
    on_error: str = "error"
    """error: name every unreadable image and stop; skip: train without them."""
    verify: bool = True
    """Check every image once before training (remembered between runs)."""
    background: list[int] = field(default_factory=lambda: [255, 255, 255])
    """RGB, 0-255: what transparent pixels are composited on."""


LOADER_FIELDS = tuple(LoaderConfig.__dataclass_fields__)


def check_data(node: Node, root: Node) -> None:
    require_int(node, "batch_size", "data.", low=1)
    require_int(node, "num_workers", "data.", low=0, remedy="0 loads in the main process.")
    require_int(node, "image_size", "data.", low=8)
    if str(node.get("cache")) not in ("True", "False"):  # what YAML makes of on and off
        require_choice(node, "cache", ("auto", "on", "off"), "data.")
    require_range(node, "cache_gb", "data.", low=0)
    require_int(node, "cache_px", "data.", low=8)
    require_range(node, "val_fraction", "data.", low=0, high=1, open_low=True, open_high=True)
    require_choice(node, "on_error", ("error", "skip"), "data.")
    both = node.get("val_root") is not None and node.get("val_fraction") is not None
    require(
        not both,
        "data.val_fraction",
        "null when data.val_root is given",
        node.get("val_fraction"),
        "Validation pictures come from one place.",
    )
    if "background" in node:
        color = node["background"]
        ok = len(color) == 3 and all(0 <= part <= 255 for part in color)
        require(ok, "data.background", "3 integers from 0 to 255 (red, green, blue)", color)


def has_validation(root: Node) -> bool:
    """Whether the config alone says that there will be validation images."""
    node = root["data"]
    if "val_root" not in node:  # digits, or a source of the user's own
        return True
    return node["val_root"] is not None or node.get("val_fraction") is not None


SCHEMAS = {"digits": DigitsConfig, "folder": FolderConfig}
