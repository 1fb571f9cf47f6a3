"""The last layer of a classifier: finding it, replacing it, and computing its input."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

import torch
from torch import Tensor, nn

from pochitrain.error import ConfigError

LAST_LAYERS = (nn.Linear, nn.Conv2d)


def find_head(model: nn.Module) -> list[str]:
    """Dotted paths of the layers that compute the class scores; nearly always one.

    timm's models say which it is (distilled ones have two). In torchvision it is the last Linear
    of the model, or, in SqueezeNet, its last Conv2d.
    """
    named = getattr(model, "pretrained_cfg", {}).get("classifier") or ()
    paths = [named] if isinstance(named, str) else list(named)
    parts = dict(model.named_modules())
    if paths and all(isinstance(parts.get(path), LAST_LAYERS) for path in paths):
        return paths
    return [path for path, part in parts.items() if type(part) in LAST_LAYERS][-1:]


def head_keys(model: nn.Module) -> set[str]:
    """State-dict keys of the last layer."""
    return {f"{path}.{name}" for path in find_head(model) for name in ("weight", "bias")}


def reset_head(model: nn.Module) -> None:
    """Draw new weights for the last layer, as torch initialises its layers."""
    for path in find_head(model):
        layer = model.get_submodule(path)
        assert isinstance(layer, LAST_LAYERS)
        layer.reset_parameters()


def replace_head(model: nn.Module, num_classes: int, name: str) -> None:
    """Replace the last layer of a torchvision model by one for `num_classes` classes.

    The auxiliary classifiers of GoogLeNet and Inception are removed: they need 299 px and a loss
    of their own.
    """
    if getattr(model, "aux_logits", False):
        setattr(model, "aux_logits", False)
        for branch in ("aux1", "aux2", "AuxLogits"):
            if hasattr(model, branch):
                setattr(model, branch, None)
    kind = nn.Conv2d if name.startswith("squeezenet") else nn.Linear
    path, old = [(path, part) for path, part in model.named_modules() if type(part) is kind][-1]
    parent = model.get_submodule(path.rpartition(".")[0])
    new: nn.Module
    if isinstance(old, nn.Conv2d):
        new = nn.Conv2d(old.in_channels, num_classes, kernel_size=1)
    else:
        assert isinstance(old, nn.Linear)
        new = nn.Linear(old.in_features, num_classes, bias=old.bias is not None)
    setattr(parent, path.rpartition(".")[2], new)


@dataclass(frozen=True)
class SplitModel:
    """A classifier seen as a backbone (images to vectors) and a linear layer (to class scores).

    Attributes:
        model: the whole, unchanged.
        path: dotted path of the last layer.
        layer: the last layer itself, whose input is a vector per image.
    """

    model: nn.Module
    path: str
    layer: nn.Linear

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """The input of the last layer, in evaluation mode: shape (B, layer.in_features).

        Modules keep the mode that they were in. A compiled model runs uncompiled here.

        Args:
            images: shape (B, 3, H, W), on the device of the model.

        Raises:
            ConfigError: if the scores of the model are not what the last layer makes of a vector
                per image.
        """
        seen: list[tuple[Tensor, Tensor]] = []
        handle = self.layer.register_forward_hook(
            lambda _, inputs, output: seen.append((inputs[0], output))
        )
        try:
            with evaluation_mode(self.model):
                scores = self.model.forward(images)
        finally:
            handle.remove()
        shape = (len(images), self.layer.in_features)
        if len(seen) != 1 or seen[0][0].shape != shape or not is_same(scores, seen[0][1]):
            refuse_split(f"whose scores are not those of its last layer, {self.path}, alone")
        return seen[0][0]


def split_head(model: nn.Module) -> SplitModel:
    """`model` as a backbone and its last layer, which both stay parts of it.

    Raises:
        ConfigError: if its last layer is not a Linear (SqueezeNet), or there are several.
    """
    paths = find_head(model)
    layer = model.get_submodule(paths[0]) if len(paths) == 1 else None
    if not isinstance(layer, nn.Linear):
        seen = " and ".join(
            f"{path}, a {type(model.get_submodule(path)).__name__}" for path in paths
        )
        refuse_split(f"which ends in {seen or 'no layer of weights'}")
    return SplitModel(model, paths[0], layer)


def refuse_split(seen: str) -> NoReturn:
    raise ConfigError(
        f"model must end in one Linear on a vector per picture for this, got one {seen}. Choose "
        "another model, for example model=resnet18, or strategy=finetune."
    )


def is_same(scores: object, output: Tensor) -> bool:
    """Whether `scores` are `output`, or a copy of it."""
    return scores is output or (
        isinstance(scores, Tensor) and scores.shape == output.shape and torch.equal(scores, output)
    )


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards each module is in the mode that it was in."""
    training = [part for part in model.modules() if part.training]
    model.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True
