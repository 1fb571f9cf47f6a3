"""`data=table`: labelled images, and which are for what, from a CSV, TSV or Parquet file."""

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from pochitrain.data.dataset import DataSplits, Subset
from pochitrain.data.divide import divide
from pochitrain.data.folder import ImageFolderDataset, drop_images
from pochitrain.data.split import SplitRule
from pochitrain.data.table_file import open_table_file
from pochitrain.data.table_rows import (
    LABEL,
    LABEL_NAMES,
    TableRows,
    describe_missing,
    describe_repeated,
    no_column,
    read_rows,
)
from pochitrain.data.verify import find_unreadable
from pochitrain.error import ConfigError

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
"""What may stand in a column of splits, in small letters -> the split."""

WHOLE_NUMBER = re.compile(r"[+-]?\d+", re.ASCII)


def open_table(
    *,
    table: str,
    root: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    weight_column: str | None = None,
    group_by: str | None = None,
    split_by_time: str | None = None,
    val_fraction: float | None = None,
    num_folds: int | None = None,
    fold: int | None = None,
    test_fraction: float | None = None,
    seed: int = 0,
    encoding: str = "utf-8",
    on_error: str = "error",
    background: tuple[int, int, int] = (255, 255, 255),
    verify: bool = True,
) -> DataSplits:
    """The images that a table lists.

    They are sorted by class, then path, so the order of the rows changes nothing. The classes are
    the different labels, sorted as text, or as numbers where all are whole numbers.

    Args:
        table: a CSV, TSV or Parquet file.
        root: folder that relative paths are looked up from; see `read_rows`, also for the columns.
        split_column: of words of SPLITS; None = as the arguments from `group_by` to `seed` say.
        weight_column: of numbers > 0, which are scaled to a mean of 1.
        group_by: column whose equal values stay on one side of a split.
        split_by_time: column of numbers or dates; the newest images are for validation and test.
        val_fraction: see `SplitRule`, also for num_folds, fold, test_fraction and seed.
        encoding: of CSV and TSV.
        on_error: "error" names every missing or unreadable image at once; "skip" trains without.
        background: RGB, 0-255, behind transparent pixels.
        verify: check every image once before training, as `open_folder` does.

    Raises:
        ConfigError: a table that cannot be read or contradicts itself; images that are missing or
            unreadable.
    """
    file = open_table_file(table, "data.table", encoding)
    others = {
        "split_column": split_column,
        "weight_column": weight_column,
        "group_by": group_by,
        "split_by_time": split_by_time,
    }
    rows = read_rows(file, image_column, label_column, others, root)
    if LABEL not in rows.cells:
        raise ConfigError(no_column(file, LABEL, LABEL_NAMES))
    if len(rows.missing) == len(rows) or (len(rows.missing) and on_error == "error"):
        raise ConfigError(describe_missing(rows))
    class_names, rows, images = label_images(rows, background)
    if split_column is not None:
        read_splits(rows)  # its mistakes are said before pictures are checked, which takes time
    bad = find_unreadable(rows.index(), all_pixels=on_error == "skip") if verify else {}
    bad |= dict.fromkeys(rows.missing.tolist(), "no such file")
    images, skipped = drop_images(images, bad, class_names, on_error)
    rows = rows.take(np.setdiff1d(np.arange(len(rows)), list(bad)))
    if split_column is not None:
        data = split_by_column(rows, images, class_names)
    else:
        rule = SplitRule(val_fraction, test_fraction, num_folds, fold, seed)
        groups = rows.column("group_by") if group_by is not None else None
        times = read_times(rows) if split_by_time is not None else None
        data = divide(images, class_names, rule, groups, times)
    data.skipped, data.warnings = skipped, describe_repeated(rows)
    return data


def label_images(
    rows: TableRows, background: tuple[int, int, int]
) -> tuple[list[str], TableRows, ImageFolderDataset]:
    """(names of the classes, the rows sorted by class and path, their images).

    Raises:
        ConfigError: for a row without a label, or with a wrong weight.
    """
    labels = rows.column(LABEL)
    class_names = sort_classes(set(labels))
    position = {name: i for i, name in enumerate(class_names)}
    label_of = np.array([position[label] for label in labels], np.int32)
    raw = rows.paths.split_raw()
    order = np.array(sorted(range(len(rows)), key=lambda i: (label_of[i], raw[i])), np.int64)
    rows = rows.take(order)
    red, green, blue = map(int, background)
    weights = read_weights(rows)
    images = ImageFolderDataset(rows.paths, label_of[order], (red, green, blue), weights)
    return class_names, rows, images


def sort_classes(names: Iterable[str]) -> list[str]:
    """Sorted as text, or by value where all are whole numbers (2 before 10)."""
    names = sorted(names)
    if all(map(WHOLE_NUMBER.fullmatch, names)):
        names.sort(key=int)
    return names


def read_weights(rows: TableRows) -> NDArray[np.float32] | None:
    """The weights with a mean of 1, shape (N,); None without a column, or where all are equal.

    Raises:
        ConfigError: for what is no number > 0.
    """
    if "weight_column" not in rows.cells:
        return None
    cells = rows.column("weight_column")
    weights = np.array([to_number(cell) for cell in cells])
    refuse(rows, "weight_column", "numbers > 0", ~((weights > 0) & np.isfinite(weights)))
    scaled = (weights / weights.mean()).astype(np.float32)
    return None if bool((weights == weights[0]).all()) else scaled


def split_by_column(
    rows: TableRows, images: ImageFolderDataset, class_names: list[str]
) -> DataSplits:
    """The splits that a column says."""
    words = np.array(read_splits(rows))
    train, val, test = (
        Subset(images, np.flatnonzero(words == split)) for split in ("train", "val", "test")
    )
    return DataSplits(
        train, val if len(val) else None, class_names, [], test=test if len(test) else None
    )


def read_splits(rows: TableRows) -> list[str]:
    """The split of each image.

    Raises:
        ConfigError: for another word than those of SPLITS, or nothing to train on.
    """
    found = [SPLITS.get(cell.lower(), "") for cell in rows.column("split_column")]
    wrong = np.array([not split for split in found])
    refuse(rows, "split_column", "train, val or test in every row", wrong)
    if "train" not in found:
        raise ConfigError(
            f"{rows.file.name('split_column')} must say train in some rows, got none in "
            f"{rows.file.path!r}."
        )
    return found


def read_times(rows: TableRows) -> NDArray[np.float64]:
    """The time of each image: numbers as they are, or seconds since 1970, shape (N,).

    Raises:
        ConfigError: for what is neither a number nor a date.
    """
    cells = rows.column("split_by_time")
    numbers = np.array([to_number(cell) for cell in cells])
    if np.isfinite(numbers).all():
        return numbers
    times = np.array([to_time(cell) for cell in cells])
    rule = "numbers or dates (2026-01-31 12:00:00) in every row"
    refuse(rows, "split_by_time", rule, ~np.isfinite(times))
    return times


def refuse(rows: TableRows, key: str, rule: str, wrong: NDArray[np.bool_]) -> None:
    """Refuse the cells of a column at which `wrong`, shape (N,), is true.

    Raises:
        ConfigError: naming their lines.
    """
    if wrong.any():
        seen = rows.show(np.flatnonzero(wrong), rows.cells[key])
        raise ConfigError(f"{rows.file.name(key)} must hold {rule}, got {seen}.")


def to_number(cell: str) -> float:
    """The number in a cell; NaN for what is none."""
    try:
        return float(cell)
    except ValueError:
        return math.nan


def to_time(cell: str) -> float:
    """Seconds since 1970 of a date as ISO 8601 writes it, or with / (UTC without a time zone); NaN
    for what is none."""
    try:
        found = datetime.fromisoformat(cell.replace("/", "-"))
    except ValueError:
        return math.nan
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
