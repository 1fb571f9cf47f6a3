"""Group `transform`: what happens to an image before the model sees it."""

from dataclasses import dataclass
from typing import Any

from pochitrain.config.validators import Node
from pochitrain.error import ConfigError, require


@dataclass
class TransformConfig:
    """Two lists of `_target_` nodes, each made into one torchvision.transforms.v2.Compose."""

    train: list[Any] | None = None
    val: list[Any] | None = None
    batch: Any = None
    """Transform of a whole training batch (mixup, cutmix), or null."""
    size: int = 224
    """Images enter the model at size x size pixels, where the option resizes."""


def check_transform(node: Node, root: Node) -> None:
    for split in ("train", "val"):
        steps = node.get(split)
        if not steps:
            raise ConfigError(
                f"transform は必須です (a transform is required): transform.{split} must be a list "
                f"of _target_ nodes, got {steps!r}. Choose transform=minimal, augment or imagenet."
            )
        for i, step in enumerate(steps):
            ok = isinstance(step, dict) and "_target_" in step
            require(ok, f"transform.{split}[{i}]", "a node with _target_", step)
    batch = node.get("batch")
    ok = batch is None or (isinstance(batch, dict) and "_target_" in batch)
    require(ok, "transform.batch", "null or a node with _target_", batch)
    size = node.get("size", 224)
    require(isinstance(size, int) and size >= 8, "transform.size", "an integer >= 8", size)


SCHEMAS = {"transform": TransformConfig}
