"""A heatmap over a picture, and the picture that shows both side by side."""

from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from numpy.typing import NDArray
from PIL import Image

from pochitrain.report.figure import empty_figure, save_figure

COLORMAP = "inferno"
"""From black to pale yellow, in even steps of lightness for every reader."""
STRENGTH = 0.75
"""How much of the colour covers the picture where the heatmap is 1."""


def overlay(picture: Image.Image, heatmap: NDArray[np.float32]) -> Image.Image:
    """The picture, darker where the heatmap is low and coloured where it is high.

    Args:
        picture: RGB.
        heatmap: 0 to 1, shape (height, width) of the picture.
    """
    pixels = np.asarray(picture.convert("L").convert("RGB"), np.float32)
    colors = 255 * colormaps[COLORMAP](heatmap)[..., :3].astype(np.float32)
    share = STRENGTH * np.sqrt(heatmap)[..., None]
    # What does not count stays visible, in grey, so that colours belong to the heatmap alone.
    mixed = (1 - share) * (0.35 * pixels + 40) + share * colors
    return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))


def draw_explanation(
    picture: Image.Image, heatmap: NDArray[np.float32], titles: tuple[str, str], path: Path
) -> None:
    """Write a PNG: the picture, the heatmap over it, and what its colours mean.

    Args:
        picture: as the network gets it, RGB.
        heatmap: 0 to 1, of its size.
        titles: over the picture, over the heatmap.
    """
    width, height = picture.size
    side = 4.0
    aspect = min(3.0, max(1 / 3, height / width))
    figure = empty_figure((2 * side + 1.2, side * aspect + 0.9))
    panels = figure.subplots(1, 2)
    for axes, shown, title in zip(
        panels, (picture, overlay(picture, heatmap)), titles, strict=True
    ):
        axes.imshow(np.asarray(shown), interpolation="nearest" if max(picture.size) < 128 else None)
        axes.set_title(title, fontsize="medium", parse_math=False, wrap=True)
        axes.set_axis_off()
    bar = figure.colorbar(ScalarMappable(cmap=COLORMAP), ax=panels, fraction=0.035, pad=0.02)
    bar.set_ticks([0, 0.5, 1], labels=["none", "half", "most"])
    bar.set_label("evidence")
    save_figure(figure, path)
