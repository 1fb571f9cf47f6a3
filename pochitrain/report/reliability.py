"""Confidence against accuracy, before and after a calibration."""

from pathlib import Path
from typing import Any

from matplotlib.ticker import PercentFormatter

from pochitrain.report.figure import BLUE, ORANGE, empty_figure, save_figure

LARGEST_PT2 = 300
"""Area of the dot for a bin that holds all images, in square points."""


def draw_reliability(before: dict[str, Any], after: dict[str, Any], path: Path) -> None:
    """Write a PNG with two panels: accuracy of each bin over its mean confidence.

    Args:
        before, after: what `inference.reliability.measure` returns.
    """
    figure = empty_figure((9, 4.8))
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, title, found, color in (
        (panels[0], "Before", before, ORANGE),
        (panels[1], "After", after, BLUE),
    ):
        bins = found["reliability"]
        total = sum(one["images"] for one in bins)
        x, y = [one["confidence"] for one in bins], [one["accuracy"] for one in bins]
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--", zorder=1)
        axes.vlines(x, x, y, color=color, alpha=0.35, linewidth=2, zorder=2)
        sizes = [12 + LARGEST_PT2 * one["images"] / total for one in bins]
        axes.scatter(x, y, s=sizes, color=color, alpha=0.85, zorder=3)
        axes.set_title(f"{title}: calibration error {found['expected_calibration_error']:.4f}")
        axes.set(xlim=(0, 1.03), ylim=(0, 1.03), aspect="equal")
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("Accuracy")
    figure.supxlabel("Mean confidence (a larger dot holds more pictures)", fontsize="medium")
    save_figure(figure, path)
