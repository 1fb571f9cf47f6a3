"""Charts as inline SVG: they are seen without a script, follow dark mode, and print.

`report.js` adds the values under the cursor from the numbers that each chart carries along.
"""

import math
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from pochitrain.report.html_page import quote_json

WIDTH, HEIGHT = 340.0, 215.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 10.0, 8.0, 32.0
MAX_POINTS = 400
"""Points of a line; of longer ones, every second, third, ... is drawn."""
NUM_COLORS = 6
"""Colours of lines in report.css."""
MAX_LEGEND = 8
"""Lines that are told apart by colour; with more, they are shaded from first to last."""


@dataclass
class Line:
    """One line of a chart."""

    label: str
    points: list[tuple[float, float]]
    """(x, y) by rising x; what is not finite is left out."""
    dashed: bool = False
    faint: bool = False
    dots: bool = False
    """Points only, with nothing between them."""
    color: int | None = None
    """Of NUM_COLORS; None = by its place among the lines."""


@dataclass
class Chart:
    """Lines over a common x."""

    title: str
    lines: list[Line]
    unit: str = ""
    """Behind values: `%` or nothing."""
    x_label: str = ""
    log: bool = False
    mark: tuple[float, str] | None = None
    """An x that is marked, and why."""
    from_zero: bool = False
    many: bool = field(init=False)
    """Whether there are too many lines for a legend."""

    def __post_init__(self) -> None:
        for line in self.lines:
            line.points = thin([(x, y) for x, y in line.points if self.is_shown(y)])
        self.lines = [line for line in self.lines if line.points]
        self.many = len(self.lines) > MAX_LEGEND

    def is_shown(self, y: float) -> bool:
        return math.isfinite(y) and (y > 0 or not self.log)


def thin(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most about MAX_POINTS of them, the last one included."""
    step = 1 + (len(points) - 1) // MAX_POINTS if points else 1
    kept = points[::step]
    return kept if not points or kept[-1] == points[-1] else [*kept, points[-1]]


def draw_chart(chart: Chart) -> Markup:
    """HTML of a chart; empty without a point."""
    if not chart.lines:
        return Markup("")
    scale = Scale(chart)
    parts = [*draw_axes(chart, scale), *draw_mark(chart, scale)]
    for number, line in enumerate(chart.lines):
        parts.append(draw_line(chart, scale, number, line))
    ys = f"{escape(chart.title)} {chart.unit}".strip()
    svg = (
        f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{ys}" tabindex="0">'
        f"{''.join(parts)}<g class=cursor></g></svg>"
    )
    numbers = {
        "unit": chart.unit,
        "many": chart.many,
        "mark": chart.mark and chart.mark[0],
        "x": chart.x_label,
        "lines": [
            {
                "label": line.label,
                "points": [
                    [x, significant(y), round(scale.x(x), 1), round(scale.y(y), 1)]
                    for x, y in line.points
                ],
            }
            for line in chart.lines
        ],
    }
    unit = f" <small>{escape(chart.unit)}</small>" if chart.unit else ""
    return Markup(
        f"<figure class=chart><figcaption>{escape(chart.title)}{unit}</figcaption>{svg}"
        f"{draw_legend(chart)}<script type='application/json'>{quote_json(numbers)}</script>"
        "</figure>"
    )


def significant(value: float) -> float:
    """With six significant digits."""
    return float(f"{value:.6g}")


def draw_legend(chart: Chart) -> str:
    """The lines by colour; the script writes the values of the point under the cursor into it."""
    if chart.many:
        return "<p class=legend><span class=at></span><span class=near></span></p>"
    items = "".join(
        f"<span class='key {color_of(number, line)}{' dashed' * line.dashed}{' dots' * line.dots}'>"
        f"{escape(line.label)} <b></b></span>"
        for number, line in enumerate(chart.lines)
    )
    return f"<p class=legend><span class=at></span>{items}</p>"


class Scale:
    """From numbers to places in the picture."""

    def __init__(self, chart: Chart) -> None:
        xs = [x for line in chart.lines for x, _ in line.points]
        ys = [y for line in chart.lines for _, y in line.points]
        self.log = chart.log
        self.x_low, self.x_high = widen(min(xs), max(xs))
        low, high = min(ys), max(ys)
        self.ticks = ticks_of(0.0 if chart.from_zero else low, high, chart.log)
        self.y_low, self.y_high = widen(*self.bounds(low, high, chart.from_zero))

    def bounds(self, low: float, high: float, from_zero: bool) -> tuple[float, float]:
        """The ends of the axis: its outer ticks, in logarithms where it is logarithmic."""
        if self.log:
            low, high = math.log10(low), math.log10(high)
            reach = max(0.05 * (high - low), 0.05)
            return low - reach, high + reach
        low, high = min(low, *self.ticks), max(high, *self.ticks)
        return (0.0 if from_zero else low), high

    def x(self, value: float) -> float:
        share = (value - self.x_low) / (self.x_high - self.x_low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        value = math.log10(value) if self.log else value
        share = (value - self.y_low) / (self.y_high - self.y_low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def is_inside(self, value: float) -> bool:
        return TOP - 1 <= self.y(value) <= HEIGHT - BOTTOM + 1


def widen(low: float, high: float) -> tuple[float, float]:
    """Two different ends."""
    if low < high:
        return low, high
    reach = abs(low) / 2 or 0.5
    return low - reach, high + reach


def ticks_of(low: float, high: float, log: bool) -> list[float]:
    """Round numbers from about `low` to about `high`."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    if log:
        found = [float(x) for x in LogLocator(numticks=6).tick_values(low, high)]
        inside = [x for x in found if low / 1.2 <= x <= 1.2 * high]
        if len(inside) > 1:
            return inside
        fine = LogLocator(subs=[1, 2, 5], numticks=12).tick_values(low, high)
        return [float(x) for x in fine if low / 1.2 <= x <= 1.2 * high] or [low]
    locator = MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10])
    return [float(x) for x in locator.tick_values(*widen(low, high))]


def draw_axes(chart: Chart, scale: Scale) -> list[str]:
    """Grid, ticks and their numbers."""
    from matplotlib.ticker import MaxNLocator

    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for tick in scale.ticks:
        if not scale.is_inside(tick):
            continue
        y = scale.y(tick)
        parts.append(f'<path class=grid d="M{LEFT:g} {y:.1f}H{right:g}"/>')
        parts.append(
            f'<text class=ty x="{LEFT - 6:g}" y="{y + 3.5:.1f}">{short_number(tick)}</text>'
        )
    locator = MaxNLocator(nbins=6, integer=True, min_n_ticks=1)
    for tick in locator.tick_values(scale.x_low, scale.x_high):
        if scale.x_low <= tick <= scale.x_high:
            x = scale.x(float(tick))
            parts.append(
                f'<text class=tx x="{x:.1f}" y="{bottom + 15:g}">{short_number(tick)}</text>'
            )
    parts.append(f'<path class=axis d="M{LEFT:g} {bottom:g}H{right:g}"/>')
    label = escape(chart.x_label)
    parts.append(f'<text class=tl x="{(LEFT + right) / 2:g}" y="{HEIGHT - 4:g}">{label}</text>')
    return parts


def short_number(value: float) -> str:
    """A tick as short as it is exact."""
    text = f"{0.0 if abs(value) < 1e-12 else value:.4g}"
    text = text.replace("e-0", "e-").replace("e+0", "e")
    return f"\N{MINUS SIGN}{text[1:]}" if text.startswith("-") else text


def draw_mark(chart: Chart, scale: Scale) -> list[str]:
    if chart.mark is None or not scale.x_low <= chart.mark[0] <= scale.x_high:
        return []
    x, text = scale.x(chart.mark[0]), escape(chart.mark[1])
    return [
        f'<path class=mark d="M{x:.1f} {TOP:g}V{HEIGHT - BOTTOM:g}"><title>{text}</title></path>'
    ]


def draw_line(chart: Chart, scale: Scale, number: int, line: Line) -> str:
    places = [(scale.x(x), scale.y(y)) for x, y in line.points]
    style = ""
    if chart.many and line.color is None:
        style = f' style="--share:{round(100 * number / (len(chart.lines) - 1))}%"'
        color = "shade"
    else:
        color = color_of(number, line)
    kind = f"{color}{' dashed' * line.dashed}{' faint' * line.faint}"
    if len(places) == 1 or line.dots:
        dots = (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places)
        return f'<g class="dot {kind}"{style}>{"".join(dots)}</g>'
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    return f'<path class="line {kind}"{style} d="M{path}"/>'


def color_of(number: int, line: Line) -> str:
    """The CSS class with its colour."""
    return f"c{(number if line.color is None else line.color) % NUM_COLORS}"
