"""Confidence against accuracy as inline SVG."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup, escape

SIDE, EDGE = 300.0, 40.0


def draw_reliability_chart(bins: Sequence[Any], x_label: str, y_label: str, title: str) -> Markup:
    """A dot per bin at its mean confidence and accuracy, larger with more pictures.

    Args:
        bins: with `confidence` and `accuracy` from 0 to 1, and `images`, their number.
        title: what a screen reader says.
    """
    total = sum(one.images for one in bins)

    def x(share: float) -> float:
        return EDGE + share * (SIDE - EDGE - 10)

    def y(share: float) -> float:
        return SIDE - EDGE - share * (SIDE - EDGE - 10)

    parts = []
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts += [
            f'<path class=grid d="M{x(0):g} {y(tick):g}H{x(1):g}"/>',
            f'<text class=ty x="{x(0) - 6:g}" y="{y(tick) + 3.5:g}">{100 * tick:.0f}</text>',
            f'<text class=tx x="{x(tick):g}" y="{y(0) + 15:g}">{100 * tick:.0f}</text>',
        ]
    parts.append(f'<path class=ideal d="M{x(0):g} {y(0):g}L{x(1):g} {y(1):g}"/>')
    for one in bins:
        at, found = x(one.confidence), y(one.accuracy)
        radius = 3 + 9 * (one.images / total) ** 0.5
        text = f"{100 * one.confidence:.1f} % / {100 * one.accuracy:.1f} % ({one.images:,})"
        parts.append(f'<path class=gap d="M{at:.1f} {y(one.confidence):.1f}V{found:.1f}"/>')
        parts.append(
            f'<circle class="dot c0" cx="{at:.1f}" cy="{found:.1f}" r="{radius:.1f}">'
            f"<title>{text}</title></circle>"
        )
    middle = (x(0) + x(1)) / 2
    parts += [
        f'<text class=tl x="{middle:g}" y="{SIDE - 6:g}">{escape(x_label)}</text>',
        f'<text class=tl transform="translate(11 {middle - EDGE / 2:g}) rotate(-90)">'
        f"{escape(y_label)}</text>",
    ]
    box = f"0 0 {SIDE:g} {SIDE:g}"
    return Markup(
        f'<svg class=square viewBox="{box}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )
