"""How bright, how sharp and how large pictures are, and which stand out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pochitrain.check.finding import Finding

MEASURED_PX = 256
"""Larger pictures are reduced to this longer side first, as a person sees them on a page."""

BLANK_LEVELS = 2.0
"""A picture whose colours deviate by less from their mean (of 255) is blank."""
DARK_BELOW, BRIGHT_ABOVE = 0.2, 0.85
"""Dark: 99 % of the pixels are darker than the first; bright: 99 % are brighter than the second."""
ROUNDING = 20 / 12
"""What rounding to whole levels adds to the variance of the Laplacian: 4^2 + 4 times a twelfth."""
BLURRY_BELOW = 0.0015
"""Share of fine detail in the contrast, see `Quality.sharpness`."""

TINY_PX, TINY_SHARE = 8, 0.25
"""Tiny: the shorter side is below so many pixels, or below this part of the median."""
HUGE_PX, HUGE_TIMES = 4_000_000, 16
"""Huge: more pixels than this, and more than so many times the median."""
ODD_SHAPE_TIMES = 3.0
"""An odd shape: the ratio of the sides differs from the median by more than this factor, and one
side is more than so many times the other."""


@dataclass(frozen=True)
class Quality:
    """Measures of one picture; brightness from 0 (black) to 1 (white)."""

    darkest: float
    """Brightness that 1 % of the pixels are below."""
    brightest: float
    """Brightness that 1 % of the pixels are above."""
    deviation: float
    """Standard deviation of the colour that varies most, in levels of 255."""
    sharpness: float
    """Variance of the Laplacian over the variance of the brightness: the part of the contrast that
    is in fine detail. 0 where there is no contrast."""


def measure_quality(image: Image.Image) -> Quality:
    """Measure an RGB picture."""
    if max(image.size) > MEASURED_PX:
        image = image.copy()
        image.thumbnail((MEASURED_PX, MEASURED_PX), Image.Resampling.BOX, reducing_gap=2.0)
    colours = np.asarray(image, np.float32).reshape(-1, 3)
    grey = image.convert("L")
    levels = np.asarray(grey, np.float32)
    low, high = np.percentile(levels, (1, 99)) / 255
    variance = float(levels.var())
    detail = laplacian(levels)
    sharpness = 0.0
    if variance > 0 and detail.size:
        sharpness = max(0.0, float(detail.var()) - ROUNDING) / variance
    return Quality(float(low), float(high), float(colours.std(axis=0).max()), sharpness)


def laplacian(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Four times each pixel without its four neighbours, where it has them."""
    return (
        4 * levels[1:-1, 1:-1]
        - levels[:-2, 1:-1]
        - levels[2:, 1:-1]
        - levels[1:-1, :-2]
        - levels[1:-1, 2:]
    )


def judge_quality(qualities: Mapping[int, Quality]) -> Iterable[Finding]:
    """Pictures of one colour, and very dark, bright and blurry ones."""
    for image, quality in qualities.items():
        if quality.deviation < BLANK_LEVELS:
            yield Finding("blank", (image,), "one colour", drop=(image,))
        elif quality.brightest < DARK_BELOW:
            text = f"99 % of it is below {100 * quality.brightest:.0f} % brightness"
            yield Finding("dark", (image,), text)
        elif quality.darkest > BRIGHT_ABOVE:
            text = f"99 % of it is above {100 * quality.darkest:.0f} % brightness"
            yield Finding("bright", (image,), text)
        elif quality.sharpness < BLURRY_BELOW:
            text = f"{100 * quality.sharpness:.2f} % of its contrast is fine detail"
            yield Finding("blurry", (image,), text)


def judge_sizes(sizes: Mapping[int, tuple[int, int]]) -> Iterable[Finding]:
    """Pictures that are much smaller, larger or more elongated than the others."""
    if not sizes:
        return
    sides = np.array(list(sizes.values()), np.float64)
    middle = np.median(sides.min(axis=1))
    area = np.median(sides.prod(axis=1))
    ratio = np.median(np.log(sides[:, 0] / sides[:, 1]))
    for image, (width, height) in sizes.items():
        size = f"{width} x {height} px"
        if min(width, height) < max(TINY_PX, TINY_SHARE * middle):
            yield Finding("tiny", (image,), f"{size}; the median shorter side is {middle:.0f} px")
        elif width * height > max(HUGE_PX, HUGE_TIMES * area):
            yield Finding("huge", (image,), f"{size}; the median is {area / 1e6:.2f} megapixels")
        elongated = max(width, height) > ODD_SHAPE_TIMES * min(width, height)
        if elongated and abs(np.log(width / height) - ratio) > np.log(ODD_SHAPE_TIMES):
            yield Finding("odd_shape", (image,), f"{size}; the median is {np.exp(ratio):.2f} : 1")
