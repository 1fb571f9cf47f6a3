"""Any classification model of torchvision, with another head."""

import difflib
import os
from pathlib import Path
from urllib.error import URLError

import torch
from torch import nn
from torchvision import models

from pochitrain.error import ConfigError
from pochitrain.model.head import replace_head
from pochitrain.model.pretrained import build_with_weights
from pochitrain.model.weights import load_local_weights


def build_classifier(
    name: str,
    num_classes: int,
    pretrained: bool = False,
    weights: str | None = None,
    freeze: bool | int | None = None,
) -> nn.Module:
    """A classifier from images (B, 3, H, W) to logits (B, num_classes).

    Args:
        name: name in torchvision.models.list_models(module=torchvision.models).
        pretrained: start from torchvision's default weights (cached in TORCH_HOME).
        weights: start from a local state dict instead; a head for another number of
            classes, or none, is left out (see `load_local_weights`).
        freeze: ignored here; the config node has it for FreezeBackbone.

    Raises:
        ConfigError: an unknown name, a failed download, or a file that is not a state dict of this
            model.
    """
    known = models.list_models(module=models)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        raise ConfigError(
            f"model.name must be a torchvision classification model, got {name!r}.{hint} "
            f"Choices: {', '.join(known)}."
        )

    def build() -> tuple[nn.Module, bool]:
        # These two warn if `init_weights` is not given.
        options = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
        model: nn.Module = models.get_model(name, weights=None, **options)
        if pretrained and weights is None:  # a local file would replace them anyway
            load_pretrained(model, name)
        replace_head(model, num_classes, name)
        return model, weights is not None and load_local_weights(model, weights)

    if weights is None and not pretrained:
        return build()[0]
    start = "file" if weights is not None else "torchvision"
    return build_with_weights((start, "torchvision", name, num_classes), weights, build)


def load_pretrained(model: nn.Module, name: str) -> None:
    """Load torchvision's default (best published) ImageNet weights into `model`.

    Raises:
        ConfigError: if they are neither in the cache nor can be downloaded.
    """
    entry = models.get_model_weights(name).DEFAULT
    try:
        state = entry.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (URLError, OSError, RuntimeError) as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise ConfigError(
            f"model.pretrained=true needs {os.path.basename(entry.url)}, which cannot be "
            f"downloaded ({error}). Put the file in {folder} (from {entry.url}), or train from "
            "scratch with model.pretrained=false."
        ) from error
    model.load_state_dict(state)
    if hasattr(
        model, "transform_input"
    ):  # these weights expect another normalisation, which the model applies
        setattr(model, "transform_input", True)
