"""Option `data=shards`: images in uncompressed tar files."""

from dataclasses import dataclass, field
from typing import Annotated

from omegaconf import MISSING

from pochitrain.config.loader import Color, LoaderConfig
from pochitrain.config.split import SplitConfig, check_split
from pochitrain.config.validators import Choice, Node, Rule
from pochitrain.error import require


@dataclass
class ShardsConfig(SplitConfig, LoaderConfig):
    """Tar files with `key.jpg` and its label in `key.cls`, `key.txt` or `key.json`."""

    _target_: str = "pochitrain.data.shards.open_shards"
    train_shards: Annotated[str, Rule("a path or a pattern of paths", bool)] = MISSING
    """Tar files, as a pattern: shards/train-*.tar."""
    val_shards: str | None = None
    """The same for validation; null = as val_fraction or num_folds say."""
    label_key: str = "label"
    """Of the label in a JSON object."""
    on_error: Annotated[str, Choice(("error", "skip"))] = "error"
    """error: name every unreadable image and stop; skip: train without them."""
    verify: bool = True
    """Check every image once before training (remembered between runs)."""
    background: Annotated[list[int], Color] = field(default_factory=lambda: [255, 255, 255])
    """RGB, 0-255: what transparent pixels are composited on."""


def check_shards(node: Node) -> None:
    """Check the rules of `data=shards` about several keys at once.

    Raises:
        ConfigError: for the first rule that is broken.
    """
    if node["val_shards"] is None:
        check_split(node)
        return
    for key in ("val_fraction", "num_folds", "fold", "test_fraction"):
        rule = "null with data.val_shards: validation pictures come from one place"
        require(node[key] is None, f"data.{key}", rule, node[key])
