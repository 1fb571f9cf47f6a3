"""How many pixels may go through the network at once, whatever images come."""

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
"""Of a forward pass, where the model's own images do not need more: 80 images of 224 x 224. A
resnet18 takes 165 bytes for each (0.7 GB), a vgg16 three times that."""

MEGA = 1_000_000

Item = TypeVar("Item")


class InputTooLargeError(UnreadableImageError):
    """An image that has, or would get, more pixels than may go through the network."""


@dataclass(frozen=True)
class PixelBudget:
    """The limit, and what is known of the pipeline's results before it is run."""

    max_pixels: int
    """Of all images in a forward pass, after the transform."""
    own_size: tuple[int, int] | None
    """Height and width of every result, where the pipeline gives one size only."""
    keeps_size: bool
    """Whether the pipeline gives each image back in its own size."""
    resizes: tuple[int, ...] = ()
    """What the shorter side is brought to, on the way."""

    def widest(self, size: tuple[int, int]) -> int:
        """Pixels of an image (width, height) where it is largest: before or after a resize.

        `Resize(256)` makes 65 megapixels of a strip of 1000 x 1.
        """
        width, height = size
        aspect = max(size) / min(size)
        return max(width * height, *(round(side * side * aspect) for side in self.resizes), 0)

    def require_source(self, size: tuple[int, int]) -> None:
        """Refuse an image by its size (width, height) alone, before it costs memory.

        Raises:
            InputTooLargeError: if its result is, or is made of, more than is allowed.
        """
        if self.keeps_size:
            self.require_pixels(*size)
        if self.widest(size) > MAX_PIXELS:
            raise InputTooLargeError(
                f"transform.val would make more than {MAX_PIXELS:,} pixels of {size[0]} x {size[1]}"
            )

    def require_pixels(self, width: int, height: int) -> None:
        if width * height > self.max_pixels:
            raise InputTooLargeError(
                f"{width} x {height} is more than the {self.max_pixels / MEGA:g} megapixels that "
                "may go through the model at once (max-input-megapixels)"
            )

    def images_at_once(self, batch_size: int) -> int | None:
        """How many images fit into a forward pass; None where their sizes differ."""
        if self.own_size is None:
            return None
        height, width = self.own_size
        return max(1, min(batch_size, self.max_pixels // (height * width)))

    def batches(
        self, items: Iterable[Item], batch_size: int, count: Callable[[Item], int]
    ) -> Iterator[list[Item]]:
        """`items` in order, as many at a time as the batch size and the pixels allow.

        Args:
            count: the pixels of an item.
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
        pipeline: tried on two small images.
        input_size: height and width that the model was trained on, or takes; None = not known.
        batch_size: images of that size that must fit.
        max_pixels: the limit; None = DEFAULT_PIXELS, or the batch where that is more.

    Raises:
        ConfigError: if one image of the model's own size is more than `max_pixels`.
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
    except Exception:  # a crop may need larger images; steps may be of the person's own
        return None
    return (result.shape[-2], result.shape[-1]) if isinstance(result, Tensor) else None


def find_resizes(pipeline: Callable[[Image.Image], Any]) -> Iterator[int]:
    """The steps that bring the shorter side to a length and let the longer one follow."""
    for step in getattr(pipeline, "transforms", ()):
        if isinstance(step, (v1.Resize, v2.Resize)) and step.max_size is None:
            size = [step.size] if isinstance(step.size, int) else list(step.size or ())
            if len(size) == 1 and isinstance(size[0], int):
                yield size[0]


def count_pixels(image: Tensor) -> int:
    """Of an image of shape (C, H, W)."""
    return image.shape[-2] * image.shape[-1]
