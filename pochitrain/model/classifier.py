"""Any classification model of torchvision, with another head."""

import difflib
import os
import pickle
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torchvision import models

from pochitrain.error import ConfigError
from pochitrain.model.head import head_keys, replace_head
from pochitrain.text import first_line


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
            classes is left out.
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
    # These two warn if `init_weights` is not given.
    options = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    model: nn.Module = models.get_model(name, weights=None, **options)
    if pretrained and weights is None:  # a local file would replace them anyway
        load_pretrained(model, name)
    replace_head(model, num_classes, name)
    if weights is not None:
        load_local_weights(model, weights)
    return model


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


def load_local_weights(model: nn.Module, path: str) -> None:
    """Load a state dict; a head for another number of classes keeps its initial weights.

    Raises:
        ConfigError: no such file, not a state dict, or tensors that do not fit this model.
    """
    file = Path(path)
    if not file.is_file():
        raise ConfigError(f"model.weights must be a file, got {path!r}, which is not there.")
    try:
        loaded = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError, ValueError, KeyError) as error:
        text = first_line(error)
        raise ConfigError(
            f"model.weights must be a state dict saved by torch.save, got {path!r} ({text})."
        ) from error
    if isinstance(loaded, dict) and "model" in loaded and isinstance(loaded["model"], dict):
        loaded = loaded["model"]  # a checkpoint of pochitrain
    own = model.state_dict()
    if not isinstance(loaded, dict) or not loaded.keys() & own.keys():
        raise ConfigError(f"model.weights must hold tensors of this model, got {path!r}.")
    fitting = {
        key: value
        for key, value in loaded.items()
        if key in own and isinstance(value, Tensor) and value.shape == own[key].shape
    }
    head = {key for key in own if key not in fitting}
    allowed = head_keys(model)
    if head - allowed or loaded.keys() - own.keys():
        odd = sorted((head - allowed) | (loaded.keys() - own.keys()))
        raise ConfigError(
            f"model.weights must fit the model, got {path!r} with {len(odd)} tensor(s) that do "
            f"not: {', '.join(odd[:5])}{' ...' if len(odd) > 5 else ''}."
        )
    model.load_state_dict(fitting, strict=False)
