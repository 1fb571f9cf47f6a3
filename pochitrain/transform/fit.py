"""The whole image in a square: nothing at its edges is cut away."""

from collections.abc import Sequence
from typing import Any

from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

MODES = ("pad", "squash")


class FitImage(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """Resizes an image to `size` x `size` pixels, all of it.

    pad keeps its shape: the longer side becomes `size`, and `fill` is put on both sides of the
    shorter one. squash resizes each side to `size`.
    """

    def __init__(
        self,
        size: int,
        mode: str,
        fill: Sequence[int] = (0, 0, 0),
        interpolation: str = "bilinear",
    ) -> None:
        """Choose the square.

        Args:
            size: its side in pixels.
            mode: "pad" or "squash".
            fill: RGB, 0-255, of what pad adds.
            interpolation: value of an InterpolationMode, such as "bicubic".

        Raises:
            ValueError: for another mode or interpolation, or a size < 1.
        """
        super().__init__()
        if mode not in MODES or size < 1:
            raise ValueError(
                f"mode must be one of {', '.join(MODES)} and size >= 1, got {mode!r} and {size}"
            )
        self.size = size
        self.mode = mode
        self.fill = [int(value) for value in fill]
        self.interpolation = InterpolationMode(interpolation)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        height, width = F.get_size(inpt)
        longest = max(height, width)
        if self.mode == "squash" or height == width:
            return F.resize(inpt, [self.size, self.size], self.interpolation)
        height, width = (max(1, round(side * self.size / longest)) for side in (height, width))
        resized = F.resize(inpt, [height, width], self.interpolation)
        left, top = (self.size - width) // 2, (self.size - height) // 2
        right, bottom = self.size - width - left, self.size - height - top
        return F.pad(resized, [left, top, right, bottom], fill=self.fill)

    def extra_repr(self) -> str:
        text = f"size={self.size}, mode={self.mode}, fill={self.fill}"
        return f"{text}, interpolation={self.interpolation.value}"
