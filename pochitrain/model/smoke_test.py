"""A trial run of the model before training, so that unsuitable images are reported early."""

import copy

import torch
from torch import Tensor, nn

from pochitrain.error import ConfigError
from pochitrain.seed import seeded_cpu
from pochitrain.text import first_line


@torch.no_grad()
def smoke_test(model: nn.Module, images: Tensor, num_classes: int, *, training: bool) -> None:
    """Run a copy of `model` once on a batch, or on its shape where that says enough.

    Args:
        images: float32, shape (B, 3, H, W).
        training: use training mode, in which batch norm uses the batch; else evaluation mode.

    Raises:
        ConfigError: if it fails, or its scores do not have the shape (B, num_classes).
    """
    try:
        scores = compute_shape(model, images, training)
        if scores is None or scores.shape != (len(images), num_classes):
            with seeded_cpu(0, "trial"):
                # forward, because calling a compiled model would compile it for this batch
                scores = copy.deepcopy(model).train(training).forward(images)
    except torch.OutOfMemoryError:
        return  # training reports this with a better message
    except Exception as error:
        raise ConfigError(explain(error, images)) from error
    wanted = (len(images), num_classes)
    seen = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
    if seen != wanted:
        raise ConfigError(
            f"model must give scores of shape {wanted} for {len(images)} pictures and "
            f"{num_classes} classes, got {seen}."
        )


SHAPES_DECIDE = ("torch", "torchvision", "pochitrain")
"""Packages whose modules fail because of the shapes of images, not because of their values."""


def compute_shape(model: nn.Module, images: Tensor, training: bool) -> Tensor | None:
    """What the model gives, without numbers (a tensor on the device `meta`).

    On a CPU, the first forward pass of a ResNet-18 takes half a second, and does not make those of
    training shorter, which have other shapes.

    Returns:
        None where it does not work or does not say enough: on a GPU, with code of somebody else.
    """
    if images.device.type != "cpu" or not all(map(is_known, model.modules())):
        return None
    shapes: dict[int, Tensor] = {}  # deepcopy takes these in place of the weights
    for tensor in (*model.parameters(), *model.buffers()):
        empty = torch.empty_like(tensor, device="meta")
        is_weight = isinstance(tensor, nn.Parameter)
        shapes[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if is_weight else empty
    try:
        scores = copy.deepcopy(model, shapes).train(training).forward(images.to("meta"))
    except Exception:  # the pass with numbers gives the message
        return None
    return scores if isinstance(scores, Tensor) else None


def is_known(module: nn.Module) -> bool:
    package = type(module).__module__.partition(".")[0]
    return package in SHAPES_DECIDE and "forward" not in vars(module)


def explain(error: Exception, images: Tensor) -> str:
    """The message for an error in the forward pass, with a remedy."""
    text = first_line(error)
    size = f"{images.shape[-1]} x {images.shape[-2]} px"
    if "more than 1 value per channel" in text:
        return (
            f"batch_size must be >= 2 for this model at {size} (batch norm cannot work on one "
            f"value), got a batch of {len(images)}."
        )
    return (
        f"The model does not accept pictures of {size} ({text}). Set transform.size or "
        "data.image_size, or choose another model."
    )
