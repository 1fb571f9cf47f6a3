"""Finding the layer of a network whose output still says where in the image something is.

Networks of any package are looked at while they classify an image, so that no table of layer names
is needed. In ResNets, EfficientNets, ConvNeXt and the like it is the last feature map before it is
averaged. In networks of tokens it is the first layer of tokens, since attention moves what tokens
say to others.
"""

from dataclasses import dataclass, replace
from math import isqrt

import torch
from torch import Tensor, nn

from pochitrain.error import ConfigError
from pochitrain.model.head import evaluation_mode, find_head

WANTED_SIDE = 7
"""Cells along a side, as in the last map of 224 px; where that has fewer, an earlier layer is taken
that has them."""
MAX_PREFIX = 8
"""Tokens before those of the image: the class token, registers."""


@dataclass(frozen=True)
class FeatureMap:
    """A layer whose output can be laid over the image."""

    layer: nn.Module
    name: str
    """Dotted path of the layer."""
    kind: str
    """`channels_first` (B, C, h, w), `channels_last` (B, h, w, C) or `tokens` (B, T, C)."""
    height: int
    width: int
    """Cells, not pixels."""
    is_start: bool = False
    """Whether it is the first layer of a network of tokens."""

    def to_grid(self, values: Tensor) -> Tensor:
        """What each cell contributes: the sum over the channels, shape (B, h, w).

        Args:
            values: of the shape of the layer's output.
        """
        if self.kind == "channels_first":
            return values.sum(dim=1)
        summed = values.sum(dim=-1)
        if self.kind == "channels_last":
            return summed
        of_image = summed[:, -self.height * self.width :]  # the class token comes first
        return of_image.reshape(-1, self.height, self.width)


@dataclass
class Seen:
    """A layer at work on one image."""

    layer: nn.Module
    name: str
    shape: torch.Size
    """Of its output."""


def find_feature_map(model: nn.Module, image: Tensor) -> FeatureMap:
    """The feature map of `model`, by one forward pass.

    Args:
        image: float32, shape (1, 3, H, W), on the device of the model.

    Raises:
        ConfigError: if no layer has an output that can be laid over the image.
    """
    size = image.shape[2:]
    channels = num_channels(model)
    seen = watch(model, image)
    maps = [found for each in seen if (found := as_map(each, size, channels)) is not None]
    for side in (WANTED_SIDE, 4, 2):
        large = [
            each for each in leave_out_branches(maps, model) if min(each.height, each.width) >= side
        ]
        if not large:
            continue
        last = large[-1]
        if last.kind != "tokens":
            return last
        cells = (last.height, last.width)
        first = next(each for each in maps if (each.height, each.width) == cells)
        return replace(first, is_start=True)
    raise ConfigError(
        "RUN must have a layer whose output can be laid over the picture (a feature map, or the "
        f"tokens of a transformer, of at least 2 x 2), got {type(model).__name__} without one for "
        f"pictures of {size[1]} x {size[0]} px."
    )


def leave_out_branches(maps: list[FeatureMap], model: nn.Module) -> list[FeatureMap]:
    """The maps without those inside a block that makes them smaller.

    In such a block, another branch may carry what this one does not (ResNet, ShuffleNet).
    """
    sides = {found.name: found.height for found in maps}
    parts = dict(model.named_modules())

    def is_whole(found: FeatureMap) -> bool:
        words = found.name.split(".")
        around = (".".join(words[:count]) for count in range(1, len(words)))
        blocks = (name for name in around if not isinstance(parts[name], nn.Sequential))
        return all(sides.get(name, found.height) >= found.height for name in blocks)

    return [found for found in maps if is_whole(found)]


@torch.no_grad()
def watch(model: nn.Module, image: Tensor) -> list[Seen]:
    """The layers, in the order in which they end."""
    seen: list[Seen] = []
    handles = []
    for name, layer in model.named_modules():

        def note(part: nn.Module, _: object, output: object, name: str = name) -> None:
            if name and isinstance(output, Tensor):
                seen.append(Seen(part, name, output.shape))

        handles.append(layer.register_forward_hook(note))
    try:
        with evaluation_mode(model):
            model(image)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def num_channels(model: nn.Module) -> int | None:
    """Channels that the last layer gets, which tell where a map has them; None = not known."""
    paths = find_head(model)
    layer = model.get_submodule(paths[0]) if paths else None
    return layer.in_features if isinstance(layer, nn.Linear) else None


def as_map(seen: Seen, size: torch.Size, channels: int | None) -> FeatureMap | None:
    """The output as a map; None if it has no place in the image.

    Args:
        size: height and width of the image in pixels.
        channels: see `num_channels`.
    """
    shape = seen.shape
    if len(shape) == 4:
        first, last = (has_shape_of(size, *pair) for pair in (shape[2:], shape[1:3]))
        is_last = last and (not first or (shape[3] == channels and shape[1] != channels))
        kind = "channels_last" if is_last else "channels_first"
        height, width = shape[1:3] if is_last else shape[2:]
        return FeatureMap(seen.layer, seen.name, kind, height, width)
    grid = token_grid(shape[1], size) if len(shape) == 3 else None
    return None if grid is None else FeatureMap(seen.layer, seen.name, "tokens", *grid)


def has_shape_of(size: torch.Size, height: int, width: int) -> bool:
    """Whether cells of these numbers would be about square in an image (H, W)."""
    return bool(2 / 3 < height * size[1] / (width * size[0]) < 3 / 2)


def token_grid(num_tokens: int, size: torch.Size) -> tuple[int, int] | None:
    """Rows and columns of the tokens of an image (H, W); None if they make no such grid."""
    image_height, image_width = size
    for count in range(num_tokens, max(3, num_tokens - MAX_PREFIX - 1), -1):
        height = isqrt(count * image_height // image_width)
        if (
            height
            and count % height == 0
            and count // height * image_height == (height * image_width)
        ):
            return height, count // height
    return None
