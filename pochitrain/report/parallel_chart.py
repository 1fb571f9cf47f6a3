"""Parallel coordinates as inline SVG: a line per trial through its parameters to its value."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from pochitrain.report.line_chart import short_number

WIDTH, HEIGHT, TOP, BOTTOM, SIDE = 900.0, 300.0, 46.0, 22.0, 70.0
MAX_NAMES = 8
"""Choices of an axis that are named; of more, only the first and the last."""
LOG_RATIO = 50
"""An axis of positive numbers whose ends are so many times apart is logarithmic."""


@dataclass
class Trial:
    """A line: what a mouse finds there, its values by axis, and its place from worst to best."""

    label: str
    values: dict[str, Any]
    rank: float
    """0 (worst) to 1 (best)."""


def draw_parallel(axes: Sequence[str], trials: Sequence[Trial], title: str) -> Markup:
    """HTML of the chart; empty with fewer than two axes or trials.

    Args:
        axes: from left to right; a trial without a value for one is not drawn.
    """
    shown = [trial for trial in trials if all(axis in trial.values for axis in axes)]
    if len(axes) < 2 or len(shown) < 2:
        return Markup("")
    places = {axis: Axis([trial.values[axis] for trial in shown]) for axis in axes}
    step = (WIDTH - 2 * SIDE) / (len(axes) - 1)
    parts = []
    for trial in sorted(shown, key=lambda trial: trial.rank):
        points = "L".join(
            f"{SIDE + i * step:.1f} {places[axis].y(trial.values[axis]):.1f}"
            for i, axis in enumerate(axes)
        )
        best = " best" if trial.rank == 1 else ""
        parts.append(
            f'<path class="line shade trial{best}" style="--share:{100 * trial.rank:.0f}%" '
            f'd="M{points}"><title>{escape(trial.label)}</title></path>'
        )
    for i, axis in enumerate(axes):
        x = SIDE + i * step
        parts.append(f'<path class=axis d="M{x:.1f} {TOP:g}V{HEIGHT - BOTTOM:g}"/>')
        name = axis if len(axis) <= 24 else f"{axis[:11]}…{axis[-11:]}"
        parts.append(
            f'<text class="tl name" x="{x:.1f}" y="{18 + 14 * (i % 2):g}">{escape(name)}'
            f"<title>{escape(axis)}</title></text>"
        )
        for y, text in places[axis].ticks():
            parts.append(f'<text class=pt x="{x + 5:.1f}" y="{y + 3.5:.1f}">{escape(text)}</text>')
    return Markup(
        f'<svg class=parallel viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )


class Axis:
    """Where the values of a parameter lie on its axis."""

    def __init__(self, values: Sequence[Any]) -> None:
        self.names: list[str] = []
        numbers = [value for value in values if is_number(value)]
        if len(numbers) < len(values):
            self.names = list(dict.fromkeys(str(value) for value in values))
            self.low, self.high, self.log = 0.0, float(max(1, len(self.names) - 1)), False
            return
        self.low, self.high = float(min(numbers)), float(max(numbers))
        self.log = self.low > 0 and self.high / self.low >= LOG_RATIO

    def y(self, value: Any) -> float:
        if self.names:
            place = float(self.names.index(str(value)))
            share = place / self.high if len(self.names) > 1 else 0.5
        elif self.low == self.high:
            share = 0.5
        elif self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def ticks(self) -> list[tuple[float, str]]:
        """Places and texts of what is written beside the axis."""
        if self.names:
            few = len(self.names) <= MAX_NAMES
            shown = self.names if few else [self.names[0], self.names[-1]]
            return [(self.y(name), name[:18]) for name in shown]
        ends = [self.low] if self.low == self.high else [self.low, self.high]
        return [(self.y(end), short_number(end)) for end in ends]


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
