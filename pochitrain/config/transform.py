"""Group `transform`: what happens to an image before the model sees it."""

from dataclasses import dataclass
from typing import Annotated, Any

from pochitrain.config.validators import Choice, Node, Range, RangeOrAuto, Rule, is_target_node
from pochitrain.error import ConfigError, require

MAX_SIDE_PX = 4096
"""A picture of this side takes 200 MB as a tensor."""

INTERPOLATIONS = ("bilinear", "bicubic")

CROP_PCT = 0.875
"""224 of 256 pixels, as torchvision's models were trained with."""
LEAST_CROP_PCT = 0.01
"""Less would need a picture resized to more than a hundred times what is shown."""

SMALL_PX, SMALL_SCALE = 96, 0.6
"""Up to this size a random crop takes at least this part of the area, with crop_scale=auto: small
pictures have little to cut away (docs/training.md has the figures)."""
TORCHVISION_SCALE = 0.08
WHOLE_SCALE = 0.5
"""Smallest random crop of a whole image (fit=pad or squash): most of it is seen each time."""

AUTO_KEYS = ("transform.fit", "transform.size", "transform.crop_scale")
"""Keys whose value `auto` is replaced by one that suits the images, before the parts are built."""


@dataclass
class TransformConfig:
    """Two lists of `_target_` nodes, each made into one torchvision.transforms.v2.Compose."""

    train: list[Any] | None = None
    """Steps for training images, in order."""
    val: list[Any] | None = None
    """Steps for all other images."""
    batch: Annotated[Any, Rule("null or a node with _target_", is_target_node)] = None
    """Transform of a whole training batch (mixup, cutmix), or null."""
    size: Annotated[int | str, RangeOrAuto(ge=8), RangeOrAuto(le=MAX_SIDE_PX)] = 224
    """Side length in pixels of the images that enter the model, if the option resizes; auto = as
    large as the training images, in steps of 32 from 32 to 224."""
    fit: Annotated[str, Choice(("crop", "pad", "squash", "auto"))] = "crop"
    """How an image that is not square becomes so. crop: as the steps say (its middle, in
    `imagenet`); pad: all of it, bars in the colour `mean` beside it; squash: all of it, out of
    proportion; auto: by the shapes of the training images."""
    crop_scale: Annotated[Any, RangeOrAuto(gt=0, le=1, auto="a number > 0 and <= 1, or auto")] = (
        None
    )
    """Smallest part of the area that a RandomResizedCrop without `scale` may take; null = 0.08, and
    0.5 with fit=pad and squash; auto = more of small pictures, see `choose_crop_scale`."""
    interpolation: Annotated[str | None, Choice((*INTERPOLATIONS, None))] = None
    """How a Resize or RandomResizedCrop without `interpolation` computes pixels; null = bilinear.
    Models of timm set their own."""
    crop_pct: Annotated[float, Range(ge=LEAST_CROP_PCT, le=1)] = CROP_PCT
    """Part of the shorter side that the crop of validation shows, if the option has one. Models of
    timm set their own."""


def choose_crop_scale(size_px: int, fit: str) -> float:
    """What crop_scale=auto becomes for images of `size_px` pixels.

    Args:
        fit: crop, pad or squash.
    """
    usual = TORCHVISION_SCALE if fit == "crop" else WHOLE_SCALE
    return max(usual, SMALL_SCALE) if size_px <= SMALL_PX else usual


def check_transform(node: Node, root: Node) -> None:
    for split in ("train", "val"):
        steps = node.get(split)
        if not steps:
            raise ConfigError(
                f"transform は必須です (a transform is required): transform.{split} must be a list "
                f"of _target_ nodes, got {steps!r}. Choose transform=minimal, augment or imagenet."
            )
        for i, step in enumerate(steps):
            key = f"transform.{split}[{i}]"
            require(is_target_node(step), key, "a node with _target_", step)


SCHEMAS = {"transform": TransformConfig}
