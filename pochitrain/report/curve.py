"""Graphs of a run over its epochs, drawn from training_metrics.csv."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pochitrain.metric.table import find_metric
from pochitrain.report.figure import (
    BLUE,
    GREEN,
    LINE_STYLES,
    MAX_MARKED,
    ORANGE,
    PURPLE,
    add_bottom_legend,
    add_side_legend,
    empty_figure,
    new_figure,
    save_figure,
    series_color,
    style_axes,
)

METRIC_COLORS = (BLUE, ORANGE, GREEN, PURPLE)

RATE_PREFIX = "lr_"
"""Prefix of the columns of training_metrics.csv that hold the rate of a layer-wise rule."""


def draw_curves(csv_path: Path, folder: Path, *, log_rates: bool = False) -> list[Path]:
    """Draw loss.png, accuracy.png and, if their columns exist, metrics.png and layer_rates.png.

    Args:
        csv_path: training_metrics.csv.
        folder: where the PNG files go; made if missing.
        log_rates: whether layer_rates.png has a logarithmic axis.

    Returns:
        The files written.
    """
    table = pd.read_csv(csv_path)
    layers = [str(column) for column in table.columns if str(column).startswith(RATE_PREFIX)]
    written = [folder / "loss.png", folder / "accuracy.png"]
    save_figure(draw_loss(table), written[0])
    save_figure(draw_accuracy(table, with_rate=not layers), written[1])
    if metrics := further_metrics(table):
        written.append(folder / "metrics.png")
        save_figure(draw_metrics(table, metrics), written[-1])
    if layers:
        written.append(folder / "layer_rates.png")
        save_figure(draw_layer_rates(table, layers, log_rates), written[-1])
    return written


def draw_loss(table: pd.DataFrame) -> Figure:
    figure, axes = new_figure("Loss", "epoch", "loss")
    draw_pair(axes, table, "loss")
    add_bottom_legend(figure)
    return figure


def draw_accuracy(table: pd.DataFrame, with_rate: bool) -> Figure:
    """Accuracy in percent; the learning rate on a second axis unless it differs by layer."""
    figure, axes = new_figure("Accuracy", "epoch", "accuracy (%)")
    draw_pair(axes, table, "accuracy")
    if with_rate:
        right = axes.twinx()
        right.plot(
            table["epoch"],
            table["learning_rate"],
            color=GREEN,
            linestyle=":",
            marker="." if len(table) <= MAX_MARKED else None,
            label="learning rate",
        )
        right.set_ylabel("learning rate", color=GREEN)
        right.tick_params(axis="y", colors=GREEN)
        right.set_ylim(bottom=0)
        right.spines["top"].set_visible(False)
    add_bottom_legend(figure)
    return figure


def further_metrics(table: pd.DataFrame) -> list[str]:
    """The columns of validation metrics besides loss and accuracy that are not empty."""
    own = ("val_loss", "val_accuracy")
    names = [str(column) for column in table.columns if str(column).startswith("val_")]
    return [name for name in names if name not in own and table[name].notna().any()]


def draw_metrics(table: pd.DataFrame, columns: list[str]) -> Figure:
    """One line per metric; metrics in percent and the others have axes of their own."""
    groups = {unit: [name for name in columns if unit_of(name) == unit] for unit in ("%", "")}
    groups = {unit: names for unit, names in groups.items() if names}
    figure = empty_figure((8, 1 + 3 * len(groups)))
    figure.suptitle("Validation metrics")
    rows = figure.subplots(len(groups), sharex=True, squeeze=False)[:, 0]
    for axes, (unit, names) in zip(rows, groups.items(), strict=True):
        style_axes(axes, "epoch" if axes is rows[-1] else "", unit or "score")
        for name in names:
            axes.plot(
                table["epoch"],
                table[name],
                color=METRIC_COLORS[columns.index(name) % len(METRIC_COLORS)],
                linestyle=LINE_STYLES[columns.index(name) // len(METRIC_COLORS) % 4],
                marker="o" if len(table) <= MAX_MARKED else None,
                label=name.removeprefix("val_").replace("_", " "),
            )
    add_side_legend(figure, len(columns))
    return figure


def unit_of(name: str) -> str:
    """Unit of the metric in a column: `%` or empty."""
    metric = find_metric(name)
    return "" if metric is None else metric.unit


def draw_layer_rates(table: pd.DataFrame, columns: list[str], log_scale: bool) -> Figure:
    """One line per rule, early layers dark and late ones light, in the order of the rules."""
    figure, axes = new_figure("Layer-wise learning rates", "epoch", "learning rate")
    marker = "o" if len(table) <= MAX_MARKED else None
    for i, column in enumerate(columns):
        axes.plot(
            table["epoch"],
            table[column],
            color=series_color(i, len(columns)),
            linestyle=LINE_STYLES[i % len(LINE_STYLES)],
            marker=marker,
            markersize=4,
            label=column.removeprefix(RATE_PREFIX),
        )
    if log_scale:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    add_side_legend(figure, len(columns))
    return figure


def draw_pair(axes: Axes, table: pd.DataFrame, metric: str) -> None:
    """Plot `metric` of training, of validation and of averaged weights, as far as they exist."""
    marker = "o" if len(table) <= MAX_MARKED else None
    lines = (
        ("train", "training", BLUE, "--"),
        ("val", "validation", ORANGE, "-"),
        ("ema_val", "validation, averaged weights", PURPLE, "-."),
    )
    for split, label, color, style in lines:
        column = f"{split}_{metric}"
        if column in table and table[column].notna().any():
            axes.plot(
                table["epoch"],
                table[column],
                color=color,
                linestyle=style,
                marker=marker,
                label=label,
            )
