"""Graphs of gradient_trace.csv."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from pochitrain.report.figure import (
    LINE_STYLES,
    MAX_LEGEND,
    MAX_MARKED,
    add_side_legend,
    new_figure,
    save_figure,
    series_color,
)

MAX_LABELS = 60
"""Largest number of labelled rows in the heat map; above it, every second, third, ... is."""


def draw_gradients(csv_path: Path, folder: Path) -> list[Path]:
    """Draw the gradient norms of a run over its epochs.

    Args:
        csv_path: gradient_trace.csv.
        folder: where the PNG files go; made if missing.

    Returns:
        gradient_norm.png; gradient_norm_first_half.png and _second_half.png (of the layers, in
        order from the input; only with two or more); gradient_heatmap.png. Empty if no epoch was
        recorded.
    """
    if not csv_path.exists():
        return []
    table = pd.read_csv(csv_path).set_index("epoch")
    num = table.shape[1]
    half = (num + 1) // 2
    parts = {"": ("Gradient norms", table)}
    if num > 1:
        parts["_first_half"] = ("Gradient norms, first half of the layers", table.iloc[:, :half])
        parts["_second_half"] = ("Gradient norms, second half of the layers", table.iloc[:, half:])
    written = []
    for suffix, (title, part) in parts.items():
        written.append(folder / f"gradient_norm{suffix}.png")
        save_figure(draw_time_series(part, title), written[-1])
    written.append(folder / "gradient_heatmap.png")
    save_figure(draw_heat_map(table), written[-1])
    return written


def draw_time_series(table: pd.DataFrame, title: str) -> Figure:
    """A line per layer, from the input (dark) to the output (light), on a logarithmic axis.

    With many layers, the legend names every second, third, ... one.
    """
    num = table.shape[1]
    step = 1 + (num - 1) // MAX_LEGEND
    height = 5 if num <= 12 else 6
    figure, axes = new_figure(title, "epoch", "mean L2 norm of the gradient", (9, height))
    for i, name in enumerate(table.columns):
        axes.plot(
            table.index,
            table[name],
            color=series_color(i, num),
            linestyle=LINE_STYLES[i % len(LINE_STYLES)],
            marker="o" if len(table) <= MAX_MARKED else None,
            markersize=3,
            label=str(name) if i % step == 0 else None,
        )
    if (table > 0).any(axis=None):
        axes.set_yscale("log", nonpositive="mask")
    add_side_legend(figure, len(range(0, num, step)))
    return figure


def draw_heat_map(table: pd.DataFrame) -> Figure:
    """Layers from the input (top) to the output, epochs from left to right, logarithmic colours."""
    values = table.to_numpy(dtype=float).T
    num_layers, num_epochs = values.shape
    height = min(16.0, max(3.5, 1.5 + 0.22 * num_layers))
    figure, axes = new_figure("Gradient norms", "epoch", "layer", (9, height))
    axes.grid(visible=False)
    positive = values[np.isfinite(values) & (values > 0)]
    norm = None
    if len(positive):
        low, high = positive.min(), positive.max()
        norm = LogNorm(low, high if high > low else low * 1.01)
    shown = np.ma.masked_where(~(values > 0), values)
    image = axes.imshow(shown, aspect="auto", cmap="viridis", norm=norm, interpolation="nearest")
    step = 1 + (num_layers - 1) // MAX_LABELS
    rows = list(range(0, num_layers, step))
    small = "medium" if num_layers <= 20 else "small" if num_layers <= 40 else "x-small"
    axes.set_yticks(rows, [str(table.columns[i]) for i in rows], fontsize=small)
    step = 1 + (num_epochs - 1) // 20
    columns = list(range(0, num_epochs, step))
    axes.set_xticks(columns, [str(table.index[i]) for i in columns])
    figure.colorbar(image, ax=axes, label="mean L2 norm of the gradient")
    return figure
