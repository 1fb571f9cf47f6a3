"""Size, font, colours and file format of all graphs."""

from pathlib import Path

import matplotlib_fontja
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import MaxNLocator

from pochitrain.atomic import write_with

matplotlib_fontja.japanize()

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
"""Colours that colour-blind readers can tell apart (Okabe & Ito 2008)."""

MAX_LEGEND = 24
"""Lines that fit into one column of a legend."""

LINE_STYLES = ("-", "--", "-.", ":")
MAX_MARKED = 30
"""Largest number of epochs that are each marked by a dot."""


def empty_figure(size: tuple[float, float]) -> Figure:
    """A figure of `size` inches that needs no display."""
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def new_figure(
    title: str, xlabel: str, ylabel: str, size: tuple[float, float] = (8, 5)
) -> tuple[Figure, Axes]:
    """A figure of `size` inches with one set of axes and integer ticks along x."""
    figure = empty_figure(size)
    axes = figure.add_subplot()
    axes.set_title(title)
    style_axes(axes, xlabel, ylabel)
    return figure, axes


def style_axes(axes: Axes, xlabel: str, ylabel: str) -> None:
    """Set labels, integer ticks along x, a light grid and no top border."""
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    axes.spines[["top"]].set_visible(False)


def series_color(i: int, num: int) -> tuple[float, float, float, float]:
    """RGBA colour, 0 to 1, of line i of `num` ordered lines.

    From cividis, made for colour-blind readers (Nunez et al. 2018), without its palest end, which
    is hard to see on white.
    """
    color: tuple[float, float, float, float] = colormaps["cividis"](0.85 * i / max(1, num - 1))
    return color


def add_side_legend(figure: Figure, num: int) -> None:
    """A legend to the right of the axes for `num` lines, in as many columns as needed."""
    columns = 1 + (num - 1) // MAX_LEGEND
    size = "medium" if num <= 14 else "small" if num <= MAX_LEGEND else "x-small"
    write_plainly(
        figure.legend(loc="outside right upper", frameon=False, ncols=columns, fontsize=size)
    )


def add_bottom_legend(figure: Figure) -> None:
    """A legend in one row below the axes."""
    write_plainly(figure.legend(loc="outside lower center", frameon=False, ncols=4))


def write_plainly(legend: Legend) -> None:
    """Turn math markup off: a label such as `layer1.*$` may contain dollar signs."""
    for text in legend.get_texts():
        text.set_parse_math(False)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG at 150 dots per inch, atomically; the folder is made if missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_with(path, lambda file: figure.savefig(file, format="png", dpi=150))
