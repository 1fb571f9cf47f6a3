"""A map of pictures by their features, as inline SVG; `report.js` shows the picture of a dot."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from pochitrain.report.line_chart import NUM_COLORS, widen

SIDE, EDGE = 560.0, 16.0


@dataclass
class Dot:
    """A picture on the map."""

    x: float
    y: float
    picture: int
    """Its place among the pictures of the page."""
    true: int
    is_right: bool


def draw_map(dots: Sequence[Dot], class_names: Sequence[str], title: str) -> Markup:
    """HTML of the map: a dot per picture in the colour of its true class, a cross for a mistake.

    Both directions have one scale, so that distances can be compared. Empty without dots.
    """
    if not dots:
        return Markup("")
    xs, ys = [dot.x for dot in dots], [dot.y for dot in dots]
    spans = [widen(min(xs), max(xs)), widen(min(ys), max(ys))]
    scale = (SIDE - 2 * EDGE) / max(high - low for low, high in spans)
    width, height = ((high - low) * scale + 2 * EDGE for low, high in spans)
    parts = []
    for dot in sorted(dots, key=lambda dot: not dot.is_right):  # mistakes on top
        x = EDGE + (dot.x - spans[0][0]) * scale
        y = height - EDGE - (dot.y - spans[1][0]) * scale
        color = color_of(dot.true, len(class_names))
        shape = (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
            if dot.is_right
            else f'<path d="M{x - 4:.1f} {y - 4:.1f}l8 8m0-8l-8 8"/>'
        )
        parts.append(f"<g {color} data-picture={dot.picture}>{shape}</g>")
    box = f"0 0 {width:.0f} {height:.0f}"
    svg = f'<svg viewBox="{box}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'
    shown = sorted({dot.true for dot in dots})
    keys = "".join(
        f"<span {color_of(i, len(class_names), 'key dots')}>{escape(class_names[i])}</span>"
        for i in shown[:MAX_KEYS]
    )
    return Markup(
        f"<div class='sides map'><div>{svg}<p class=legend>{keys}</p></div>"
        "<div class=preview></div></div>"
    )


MAX_KEYS = 30


def color_of(label: int, num_classes: int, kind: str = "") -> str:
    """The attributes of a class's colour: one of those of lines, or a part of the rainbow."""
    if num_classes <= NUM_COLORS:
        return f'class="{kind} c{label}"'
    hue = round(360 * label / num_classes)
    return f'class="{kind}" style="--own:hsl({hue} 70% 50%)"'
