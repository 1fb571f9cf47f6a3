"""Option `data=table`: images and their classes listed in a CSV, TSV or Parquet file."""

import codecs
from dataclasses import dataclass, field
from typing import Annotated

from omegaconf import MISSING

from pochitrain.config.loader import Color, LoaderConfig
from pochitrain.config.split import GroupedSplitConfig, check_split
from pochitrain.config.validators import Choice, Node, Rule
from pochitrain.error import require

SUFFIXES = (".csv", ".tsv", ".parquet")
TABLE_SUFFIXES = f"with the ending {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"


def is_encoding(name: str) -> bool:
    """Whether Python can read text in this encoding."""
    try:
        return codecs.lookup(name)._is_text_encoding
    except (LookupError, ValueError):  # ValueError: a name that is no text
        return False


@dataclass
class TableConfig(GroupedSplitConfig, LoaderConfig):
    """Image files and their classes, one row for each image.

    Of the keys for splits, `group_by` and `split_by_time` name columns.
    """

    _target_: str = "pochitrain.data.table.open_table"
    table: Annotated[str, Rule("a file", bool)] = MISSING
    """CSV, TSV or Parquet, with the names of the columns in the first line."""
    root: str | None = None
    """Folder that relative paths of images are looked up from; null = that of the table."""
    image_column: str | None = None
    """Paths of the image files; null = found by its name (image_path, image, path, ...)."""
    label_column: str | None = None
    """Names of the classes; null = found by its name (label, class, ...)."""
    split_column: str | None = None
    """train, val or test; null = as val_fraction or num_folds say."""
    weight_column: str | None = None
    """How much each image counts in the training loss, > 0; null = all the same."""
    encoding: Annotated[str, Rule("an encoding of Python (utf-8, cp932, ...)", is_encoding)] = (
        "utf-8"
    )
    """Of CSV and TSV."""
    on_error: Annotated[str, Choice(("error", "skip"))] = "error"
    """error: name every missing or unreadable image and stop; skip: train without them."""
    verify: bool = True
    """Check every image once before training (remembered between runs)."""
    background: Annotated[list[int], Color] = field(default_factory=lambda: [255, 255, 255])
    """RGB, 0-255: what transparent pixels are composited on."""


DIVIDING = ("val_fraction", "num_folds", "fold", "test_fraction", "group_by", "split_by_time")
"""Keys that say how images are divided, which a column can say instead."""


def check_table(node: Node, root: Node) -> None:
    """Check the rules of `data=table` about several keys at once.

    Raises:
        ConfigError: for the first rule that is broken.
    """
    if node["split_column"] is None:
        check_split(node)
    else:
        for key in DIVIDING:
            rule = "null with data.split_column, which says which picture is for what"
            require(node[key] is None, f"data.{key}", rule, node[key])
    mixed = root["transform"].get("batch") is not None
    require(
        node["weight_column"] is None or not mixed,
        "data.weight_column",
        "null with a transform that mixes pictures (transform.batch)",
        node["weight_column"],
        "Choose a transform without mixup and cutmix, or leave the weights out.",
    )
