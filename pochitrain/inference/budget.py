"""The limit on the pixels in one forward pass, so that large images cannot exhaust memory."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from PIL import Image
from torch import Tensor
from torchvision import transforms as v1
from torchvision.transforms import v2

from pochitrain.data.decode import MAX_PIXELS, UnreadableImageError
from pochitrain.error import ConfigError
from pochitrain.transform.pipeline import TRIAL_SIZES, run_trial

DEFAULT_PIXELS = 4_000_000
"""Pixels in one forward pass, unless a batch of the model's own images has more: 80 images of
224 x 224. A resnet18 needs 165 bytes per pixel (0.7 GB), a vgg16 three times as much."""

MEGA = 1_000_000

Item = TypeVar("Item")


class InputTooLargeError(UnreadableImageError):
    """An image with more pixels than allowed, before or after the transform."""


@dataclass(frozen=True)
class PixelBudget:
    """The limit, and what is known in advance about the sizes that the pipeline produces."""

    max_pixels: int
    """Limit for all images in a forward pass, after the transform."""
    own_size: tuple[int, int] | None
    """Height and width of every result; None if they depend on the image."""
    keeps_size: bool
    """Whether the pipeline keeps the size of each image."""
    resizes: tuple[int, ...] = ()
    """Lengths in pixels to which steps of the pipeline resize the shorter side."""

    def widest(self, size: tuple[int, int]) -> int:
        """Largest number of pixels of an image (width, height) in the pipeline.

        A resize can enlarge it: `Resize(256)` makes 65 megapixels of a strip of 1000 x 1.
        """
        width, height = size
        aspect = max(size) / min(size)
        return max(width * height, *(round(side * side * aspect) for side in self.resizes), 0)

    def require_source(self, size: tuple[int, int]) -> None:
        """Check the size (width, height) of an image before it is decoded.

        Raises:
            InputTooLargeError: if the image or its result would have too many pixels.
        """
        if self.keeps_size:
            self.require_pixels(*size)
        if self.widest(size) > MAX_PIXELS:
            raise InputTooLargeError(
                f"transform.val would make more than {MAX_PIXELS:,} pixels of {size[0]} x {size[1]}"
            )

    def require_pixels(self, width: int, height: int) -> None:
        """Check the size of an image after the transform.

        Raises:
            InputTooLargeError: if it has more pixels than allowed.
        """
        if width * height > self.max_pixels:
            raise InputTooLargeError(
                f"{width} x {height} is more than the {self.max_pixels / MEGA:g} megapixels that "
                "may go through the model at once (max-input-megapixels)"
            )

    def images_at_once(self, batch_size: int) -> int | None:
        """Number of images that fit into a forward pass; None if their sizes differ."""
        if self.own_size is None:
            return None
        height, width = self.own_size
        return max(1, min(batch_size, self.max_pixels // (height * width)))

    def batches(
        self, items: Iterable[Item], batch_size: int, count: Callable[[Item], int]
    ) -> Iterator[list[Item]]:
        """Group `items`, in order, into batches within the batch size and the pixel limit.

        Args:
            count: returns the number of pixels of an item.
        """
        batch: list[Item] = []
        total = 0
        for item in items:
            pixels = count(item)
            if batch and (len(batch) == batch_size or total + pixels > self.max_pixels):
                yield batch
                batch, total = [], 0
            batch.append(item)
            total += pixels
        if batch:
            yield batch


def plan_budget(
    pipeline: Callable[[Image.Image], Any],
    input_size: tuple[int, int] | None,
    batch_size: int,
    max_pixels: int | None = None,
) -> PixelBudget:
    """The budget of a model.

    Args:
        pipeline: is tried on two small images.
        input_size: height and width of the model's input; None = not known.
        batch_size: number of images of that size that must fit by default.
        max_pixels: the limit; None = DEFAULT_PIXELS, or a whole batch if that is more.

    Raises:
        ConfigError: if one image of the model's own size has more than `max_pixels`.
    """
    results = [try_size(pipeline, size) for size in TRIAL_SIZES]
    fixed = results[0] if results[0] == results[1] else None
    keeps = results == [(height, width) for width, height in TRIAL_SIZES]
    own = fixed or input_size
    pixels = own[0] * own[1] if own else 0
    if max_pixels is not None and own is not None and max_pixels < pixels:
        raise ConfigError(
            f"max-input-megapixels must be at least {pixels / MEGA:g}, the size of the model's "
            f"pictures ({own[1]} x {own[0]} px), got {max_pixels / MEGA:g}."
        )
    limit = max_pixels or max(DEFAULT_PIXELS, batch_size * pixels)
    return PixelBudget(limit, fixed, keeps, tuple(find_resizes(pipeline)))


def try_size(
    pipeline: Callable[[Image.Image], Any], size: tuple[int, int]
) -> tuple[int, int] | None:
    """Height and width of the result for an image (width, height); None if it fails."""
    try:
        result = run_trial(pipeline, size)
    except Exception:  # a crop may need larger images; steps may be user code
        return None
    return (result.shape[-2], result.shape[-1]) if isinstance(result, Tensor) else None


def find_resizes(pipeline: Callable[[Image.Image], Any]) -> Iterator[int]:
    """Lengths in pixels to which Resize steps bring the shorter side, keeping the aspect ratio."""
    for step in getattr(pipeline, "transforms", ()):
        if isinstance(step, (v1.Resize, v2.Resize)) and step.max_size is None:
            size = [step.size] if isinstance(step.size, int) else list(step.size or ())
            if len(size) == 1 and isinstance(size[0], int):
                yield size[0]


def count_pixels(image: Tensor) -> int:
    """Number of pixels of an image of shape (C, H, W)."""
    return image.shape[-2] * image.shape[-1]
