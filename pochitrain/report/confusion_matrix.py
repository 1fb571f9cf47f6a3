"""The plot of a confusion matrix, drawn from confusion_matrix.csv."""

import csv
import difflib
import math
from pathlib import Path
from unicodedata import east_asian_width

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pochitrain.config.insight import ConfusionMatrixConfig
from pochitrain.error import ConfigError
from pochitrain.report.figure import empty_figure, save_figure
from pochitrain.text import restore_cell

Counts = NDArray[np.int64]

FEW = 20
"""Largest number of classes for which zeros are written and the colour scale is linear."""

MAX_NUMBERED = 50
"""Largest number of classes for which cells show their count; above it, only the colour."""

MIN_CELL_IN = 0.16
"""Inches that a class needs for a label of 8 points; figsize is enlarged if it gives less."""

MAX_LABELLED = 200
"""Largest number of classes that are all named; above it, every second, third, ... class is, so
that the plot stops growing (with 1,000 names it takes minutes and gigabytes)."""

MAX_NAME = 28
"""Width to which class names are shortened, in columns; a Japanese character takes two."""


def require_colormap(name: str) -> None:
    """Refuse a colour map that matplotlib does not have.

    Raises:
        ConfigError: with similar names.
    """
    if name not in colormaps:
        close = difflib.get_close_matches(name, list(colormaps), n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(close)}?" if close else " The default is Blues."
        raise ConfigError(
            "confusion_matrix.cmap must be the name of a matplotlib colour map, "
            f"got {name!r}.{hint}"
        )


def read_confusion(csv_path: Path) -> tuple[list[str], Counts]:
    """Class names, and numbers of images (true class, predicted class), shape (C, C)."""
    with csv_path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    counts = np.array([[int(cell) for cell in row[1:]] for row in rows], dtype=np.int64)
    return [restore_cell(name) for name in header[1:]], counts


def draw_confusion_matrix(csv_path: Path, png_path: Path, style: ConfusionMatrixConfig) -> None:
    """Draw `csv_path` (see `read_confusion`) into `png_path`."""
    names, counts = read_confusion(csv_path)
    save_figure(plot_confusion_matrix(names, counts, style), png_path)


def plot_confusion_matrix(
    class_names: list[str], counts_CC: Counts, style: ConfusionMatrixConfig
) -> Figure:
    """Rows are true classes, columns predicted ones; the numbers count images.

    A cell is at least large enough for its label: with many classes the figure grows beyond
    `style.figsize`, and `style.fontsize` is an upper limit for the numbers.
    """
    num = len(class_names)
    names = [shorten_name(name) for name in class_names]
    longest = max(map(display_width, names)) * 8 / 72 * 0.6
    needed = min(num, MAX_LABELLED) * MIN_CELL_IN
    size = (
        max(style.figsize[0], needed + longest + 2),
        max(style.figsize[1], needed + longest + 1),
    )
    figure = empty_figure(size)
    axes = figure.add_subplot()
    norm = color_scale(counts_CC)
    image = axes.imshow(counts_CC, cmap=style.cmap, norm=norm, interpolation="nearest")
    whole = MaxNLocator(integer=True, min_n_ticks=1)
    figure.colorbar(image, ax=axes, shrink=0.8, ticks=whole)
    # Dollar signs in a title or a class name are not math markup.
    axes.set_title(style.title, fontsize=style.title_fontsize, parse_math=False)
    axes.set_xlabel(style.xlabel, fontsize=style.label_fontsize, parse_math=False)
    axes.set_ylabel(style.ylabel, fontsize=style.label_fontsize, parse_math=False)
    label_classes(axes, names, style.label_fontsize)
    figure.draw_without_rendering()  # sets the size of a cell
    if num <= MAX_NUMBERED:
        write_numbers(axes, image, counts_CC, style.fontsize)
    return figure


def color_scale(counts_CC: Counts) -> Normalize:
    """A linear scale; with many classes a square-root one, so that single mistakes are visible."""
    top = max(1, int(counts_CC.max()))
    return Normalize(0, top) if len(counts_CC) <= FEW else PowerNorm(0.5, 0, top)


def shorten_name(name: str) -> str:
    """`name` in at most MAX_NAME columns, cut in the middle: names often share one end."""
    if display_width(name) <= MAX_NAME:
        return name
    head, tail = name[: len(name) // 2], name[len(name) // 2 :]
    while display_width(head + tail) >= MAX_NAME:
        if display_width(head) > display_width(tail):
            head = head[:-1]
        else:
            tail = tail[1:]
    return f"{head}…{tail}"


def display_width(text: str) -> int:
    """Columns in a fixed-width font: Chinese and Japanese characters take two."""
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


def label_classes(axes: Axes, names: list[str], label_fontsize: int) -> None:
    """Names along both axes, rotated where they would overlap."""
    num = len(names)
    size = max(6, min(label_fontsize, 10 if num <= 30 else 8))
    named = range(0, num, math.ceil(num / MAX_LABELLED))
    shown = [names[i] for i in named]
    axes.set_yticks(named, shown, fontsize=size, parse_math=False)
    axes.set_xticks(named, shown, fontsize=size, parse_math=False)
    longest = max(map(display_width, names))
    if num > 25:
        axes.tick_params(axis="x", rotation=90)
    elif longest * num > 60:
        for label in axes.get_xticklabels():
            label.set(rotation=45, ha="right", rotation_mode="anchor")


def write_numbers(axes: Axes, image: AxesImage, counts_CC: Counts, fontsize: int) -> None:
    """The count in each cell, white on dark colours and black on light ones."""
    box = axes.get_window_extent()
    dots_per_point = axes.figure.dpi / 72
    cell = min(box.width, box.height) / len(counts_CC) / dots_per_point
    digits = len(str(counts_CC.max()))
    size = min(float(fontsize), 0.85 * cell / (0.6 * digits), 0.7 * cell)
    rgba = np.asarray(image.to_rgba(counts_CC))
    luminance = rgba[..., :3] @ np.array([0.2126, 0.7152, 0.0722])  # ITU-R BT.709
    for (row, column), count in np.ndenumerate(counts_CC):
        if count == 0 and len(counts_CC) > FEW:
            continue
        color = "white" if luminance[row, column] < 0.5 else "black"
        text = axes.text(
            column, row, str(count), ha="center", va="center", color=color, fontsize=size
        )
        text.set_in_layout(False)
