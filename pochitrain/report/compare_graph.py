"""Graphs of several runs in one picture: their curves, and their accuracies with intervals."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pochitrain.metric.interval import Interval
from pochitrain.report.figure import (
    LINE_STYLES,
    MAX_MARKED,
    add_side_legend,
    empty_figure,
    new_figure,
    save_figure,
    series_color,
    style_axes,
)

MAX_LINES = 48
"""Runs that are drawn; more could not be told apart."""


def draw_curves(runs: Sequence[tuple[str, str, Path]], path: Path) -> bool:
    """Draw accuracy and loss of the validation, a line per run, a colour per setting.

    Args:
        runs: label, setting and directory of each.
        path: the PNG file.

    Returns:
        Whether there was anything to draw.
    """
    tables = []
    for label, setting, folder in runs[:MAX_LINES]:
        try:
            table = pd.read_csv(folder / "training_metrics.csv")
        except (OSError, ValueError):  # not exported, or damaged
            continue
        if {"epoch", "val_accuracy", "val_loss"} <= {*table.columns}:
            tables.append((label, setting, table))
    if not tables:
        return False
    settings = list(dict.fromkeys(setting for _, setting, _ in tables))
    figure = empty_figure((10, 8))
    figure.suptitle("Validation")
    axes = figure.subplots(2, sharex=True)
    style_axes(axes[0], "", "accuracy (%)")
    style_axes(axes[1], "epoch", "loss")
    seen: dict[str, int] = {}
    for label, setting, table in tables:
        number = seen[setting] = seen.get(setting, -1) + 1
        for place, column in zip(axes, ("val_accuracy", "val_loss"), strict=True):
            place.plot(
                table["epoch"],
                table[column],
                color=series_color(settings.index(setting), len(settings)),
                linestyle=LINE_STYLES[number % len(LINE_STYLES)],
                marker="." if len(table) <= MAX_MARKED else None,
                label=label if place is axes[0] else None,
            )
    add_side_legend(figure, len(tables))
    save_figure(figure, path)
    return True


def draw_intervals(runs: Sequence[tuple[str, str, float, Interval | None]], path: Path) -> bool:
    """Draw the accuracy of each run as a dot in its 95 % interval.

    Args:
        runs: label, setting, accuracy in percent and its interval.

    Returns:
        Whether there was anything to draw.
    """
    runs = runs[:MAX_LINES]
    if not runs:
        return False
    settings = list(dict.fromkeys(setting for _, setting, _, _ in runs))
    size = (8.0, 1.2 + 0.32 * len(runs))
    figure, axes = new_figure("Validation accuracy, 95 % intervals", "accuracy (%)", "", size)
    for row, (_, setting, value, interval) in enumerate(runs):
        color = series_color(settings.index(setting), len(settings))
        if interval is not None:
            axes.plot([interval.low, interval.high], [row, row], color=color, linewidth=2)
        axes.plot([value], [row], "o", color=color)
    texts = axes.set_yticks(range(len(runs)), [label for label, _, _, _ in runs])
    for tick in texts:
        tick.label1.set_parse_math(False)
    axes.set_ylim(len(runs) - 0.5, -0.5)
    save_figure(figure, path)
    return True
