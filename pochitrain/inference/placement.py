"""Where in a picture the pixels lie that the network gets, whatever steps the transform has.

The transform itself is asked: it is given pictures of the same size whose grey level is the
position, and what comes out says from where it was taken. So steps of any package and of one's own
work, as long as they resize, crop, flip and pad.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pochitrain.error import DataError
from pochitrain.seed import seeded_cpu

MAX_ERROR = 0.02
"""Of a position, in parts of the picture; more, and the steps are no resize and crop."""
LEVEL = 1 / 255
"""A step of grey, to which positions are rounded."""
LEAST_CONTRAST = 0.01
"""Of what becomes of black and white, in parts of the largest; less is padding."""


@dataclass(frozen=True)
class Placement:
    """A point at (x, y) in the network's image comes from (x0 + x * dx, y0 + y * dy) in the
    picture; all in pixels, from the top left corner."""

    x0: float
    dx: float
    y0: float
    dy: float

    def to_picture(
        self, heatmap: NDArray[np.float32], size: tuple[int, int]
    ) -> NDArray[np.float32]:
        """The heatmap over the pixels of the picture; 0 where the network has not looked.

        Args:
            heatmap: over the pixels that the network gets, float32.
            size: width and height of the picture.

        Returns:
            float32, shape (height, width).
        """
        # Of a pixel of the picture, the place in the heatmap.
        back = (1 / self.dx, 0, -self.x0 / self.dx, 0, 1 / self.dy, -self.y0 / self.dy)
        found = Image.fromarray(heatmap).transform(
            size, Image.Transform.AFFINE, back, Image.Resampling.BILINEAR
        )
        return np.asarray(found, np.float32)


def locate(
    pipeline: Callable[[Image.Image], Tensor], size: tuple[int, int], seed: int = 0
) -> Placement:
    """Find where the network's image of a picture lies.

    Args:
        pipeline: PIL image (RGB) -> float32 tensor, shape (3, h, w).
        size: width and height of the picture.
        seed: of steps that draw, which all get the same draws.

    Raises:
        DataError: if the transform does more than resize, crop, flip and pad.
    """
    width, height = size
    across = np.broadcast_to((np.arange(width) + 0.5) / width, (height, width))
    down = np.broadcast_to(((np.arange(height) + 0.5) / height)[:, None], (height, width))
    black, white, *ramps = (
        transform_grey(pipeline, grey, seed) for grey in (0 * across, 0 * across + 1, across, down)
    )
    contrast = white - black
    largest = np.abs(contrast).max()
    known = np.abs(contrast) > LEAST_CONTRAST * largest
    if not largest > 0 or known.sum() < 4:
        refuse()
    rows, columns = np.nonzero(known)
    lines = []
    for ramp, at, length in zip(ramps, (columns, rows), size, strict=True):
        part = ((ramp - black) / np.where(known, contrast, 1))[known]
        # Before the middle of the first pixel and behind that of the last, a ramp is flat.
        low, high = 0.5 / length, 1 - 0.5 / length
        inside = (part > low + LEVEL) & (part < high - LEVEL)
        if len(np.unique(at[inside])) > 1:
            slope, start = np.polyfit(at[inside] + 0.5, part[inside], 1)
        else:  # a picture of one or two pixels along this side, all of which is there
            slope = 1 / (at.max() + 1 - at.min())
            start = -at.min() * slope
        expected = np.clip(start + slope * (at + 0.5), low, high)
        if np.abs(expected - part).max() > MAX_ERROR or slope == 0:
            refuse()
        lines.append((float(start * length), float(slope * length)))
    (x0, dx), (y0, dy) = lines
    return Placement(x0, dx, y0, dy)


def view(
    pipeline: Callable[[Image.Image], Tensor], result: Tensor, size: tuple[int, int], seed: int = 0
) -> Image.Image:
    """What the network gets as a picture again, RGB: after the crop, before the normalisation.

    Padding, whose colour cannot be told from the result, is mid-grey.

    Args:
        result: of the pipeline, float32, shape (3, h, w).
        size: width and height of the picture that it was made of.
    """
    ends = []
    for level in (0, 255):
        with seeded_cpu(seed, "augment", 0, 0):
            ends.append(pipeline(Image.new("RGB", size, (level,) * 3)).double().numpy())
    black, contrast = ends[0], ends[1] - ends[0]
    known = np.abs(contrast) > LEAST_CONTRAST * max(np.abs(contrast).max(), 1e-9)
    shares = np.where(known, (result.double().numpy() - black) / np.where(known, contrast, 1), 0.5)
    pixels = np.rint(255 * np.clip(shares, 0, 1)).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def transform_grey(
    pipeline: Callable[[Image.Image], Tensor], grey: NDArray[np.float64], seed: int
) -> NDArray[np.float64]:
    """What the pipeline makes of grey levels (0 to 1), the mean of its channels, shape (h, w)."""
    pixels = np.rint(grey * 255).astype(np.uint8)
    with seeded_cpu(seed, "augment", 0, 0):
        result = pipeline(Image.fromarray(pixels).convert("RGB"))
    mean: NDArray[np.float64] = result.double().mean(dim=0).numpy()
    return mean


def refuse() -> None:
    """Raise the error of a transform that moves pixels in other ways."""
    raise DataError(
        "A heatmap in the pixels of the picture needs a transform.val that only resizes, crops, "
        "flips and pads; this one does more. pochi explain shows it over what the network gets."
    )
