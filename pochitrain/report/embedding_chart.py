"""A map of images: a dot for each, whose picture appears beside the map under the pointer.

SVG and CSS alone, so that it works in a page without scripts.
"""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex
from numpy.typing import NDArray
from PIL import Image

from pochitrain.report.gallery import embed

SIDE, MARGIN, PANEL = 600, 24, 200
"""Of the map, around its dots, and of the part for the picture, in units of the SVG."""
MAX_POINTS = 800
"""Dots, each with a small picture; more would make a page of many megabytes."""
THUMBNAIL_PX = 64


@dataclass
class Dot:
    """One image on the map."""

    x: float
    y: float
    true: str
    predicted: str
    path: str
    image: Image.Image

    @property
    def is_right(self) -> bool:
        return self.true == self.predicted


def choose_points(is_right_N: NDArray[np.bool_], seed: int = 0) -> list[int]:
    """Which of N images to show: mistakes first, then any, in their order."""
    drawn = np.random.default_rng(seed).permutation(len(is_right_N))
    first = drawn[np.argsort(is_right_N[drawn], kind="stable")]
    return sorted(first[:MAX_POINTS].tolist())


def format_embedding(
    dots: Iterable[Dot],
    class_names: Sequence[str],
    explained: tuple[float, float],
    num_images: int,
) -> str:
    """HTML of the map: a `figure` with its own style.

    Args:
        dots: iterated once, so that a generator holds one full-size image at a time.
        class_names: of which the colours are.
        explained: share of the variance along x and y, 0 to 1.
        num_images: of the whole set, where only some are shown.
    """
    colors = class_colors(class_names)
    small = [(dot.x, dot.y, dot.is_right, draw_dot(dot, colors)) for dot in dots]
    points = np.array([(x, y) for x, y, _, _ in small], float).reshape(-1, 2)
    low = points.min(axis=0) if len(points) else np.zeros(2)
    span = np.ptp(points, axis=0).max() if len(points) else 1.0
    scale = (SIDE - 2 * MARGIN) / (span or 1.0)
    placed = MARGIN + (points - low) * scale
    # Mistakes last, on top of the others.
    order = sorted(range(len(small)), key=lambda i: not small[i][2])
    marks = "\n".join(
        small[i][3].format(x=f"{placed[i][0]:.1f}", y=f"{SIDE - placed[i][1]:.1f}") for i in order
    )
    wrong = sum(not is_right for _, _, is_right, _ in small)
    of = f"{len(small):,} of {num_images:,}" if len(small) < num_images else f"{num_images:,}"
    across, up = (f"{100 * share:.0f} %" for share in explained)
    caption = (
        f"{of} pictures as the network sees them; the closer, the more alike to it. "
        f"{wrong:,} with a cross are wrong. Across: {across} of the differences, up: {up}."
    )
    legend = "".join(
        f'<li><span style="background:{color}"></span>{html.escape(name)}</li>'
        for name, color in list(colors.items())[:MAX_LEGEND]
    )
    return FIGURE.format(
        style=STYLE, width=SIDE + PANEL, height=SIDE, side=SIDE, marks=marks, legend=legend,
        caption=html.escape(caption),
    )  # fmt: skip


def draw_dot(dot: Dot, colors: dict[str, str]) -> str:
    """SVG of a dot, with {x} and {y} for its place, and of what appears under the pointer."""
    color = colors[dot.true]
    if dot.is_right:
        mark = f'<circle cx="{{x}}" cy="{{y}}" r="5" fill="{color}"/>'
    else:
        mark = (
            '<circle cx="{x}" cy="{y}" r="8" fill="transparent"/>'
            f'<path transform="translate({{x}} {{y}})" d="M-6-6 6 6M-6 6 6-6" stroke="{color}"/>'
        )
    lines = [f"is {dot.true}", f"said {dot.predicted}", dot.path.rpartition("/")[2]]
    texts = "".join(
        f'<text x="{SIDE + 12}" y="{190 + 20 * row}">{escape_braces(shorten(line))}</text>'
        for row, line in enumerate(lines)
    )
    label = escape_braces(f"{dot.path}: is {dot.true}, said {dot.predicted}")
    small = dot.image.copy()
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    image = f'<image x="{SIDE + 12}" y="8" width="160" height="160" href="{embed(small)}"/>'
    return (
        f'<g class="dot" tabindex="0" role="img" aria-label="{label}">{mark}'
        f'<g class="more">{image}{texts}</g></g>'
    )


def escape_braces(text: str) -> str:
    """HTML, in which str.format leaves braces as they are."""
    return html.escape(text, quote=True).replace("{", "{{").replace("}", "}}")


def shorten(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def class_colors(class_names: Sequence[str]) -> dict[str, str]:
    """A colour for each class: ten that are told apart easily, else around the rainbow."""
    few = colormaps["tab10"]
    many = colormaps["turbo"]
    count = len(class_names)
    return {
        name: to_hex(few(i) if count <= 10 else many((i + 0.5) / count))
        for i, name in enumerate(class_names)
    }


MAX_LEGEND = 30
MAX_TEXT = 24

STYLE = """\
.map svg { width: 100%; max-width: 800px; height: auto; border: 1px solid #ddd; background: #fff; }
.map .dot { cursor: pointer; outline: none; }
.map circle { fill-opacity: .75; }
.map path { stroke-width: 3; fill: none; }
.map .more { display: none; pointer-events: none; }
.map .dot:hover .more, .map .dot:focus .more { display: inline; }
.map .dot:hover circle, .map .dot:focus circle { stroke: #000; stroke-width: 2; }
.map text { font-size: 14px; fill: #222; }
.map ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem .9rem; }
.map li span { display: inline-block; width: .8em; height: .8em; border-radius: 50%;
  margin-right: .3em; }
"""

FIGURE = """\
<figure class="map">
<style>
{style}</style>
<svg viewBox="0 0 {width} {height}" role="group">
<line x1="{side}" y1="0" x2="{side}" y2="{height}" stroke="#ddd"/>
{marks}
</svg>
<ul>{legend}</ul>
<figcaption>{caption}</figcaption>
</figure>"""
