"""Initial weights from a file of the user's own."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pochitrain.config.model import require_package
from pochitrain.error import ConfigError
from pochitrain.model.head import head_keys
from pochitrain.text import first_line, shorten_list

WRAPPERS = ("model", "state_dict")
"""Keys under which checkpoints keep the weights of the model; pochitrain's is the first."""


def load_local_weights(model: nn.Module, path: str) -> bool:
    """Load a state dict from a `.safetensors` file or a file of torch.save.

    The last layer keeps its initial weights if the file has none for it, or has them for another
    number of classes.

    Returns:
        Whether the weights of the last layer were loaded too.

    Raises:
        ConfigError: no such file, not a state dict, or tensors that do not fit this model.
    """
    loaded = read_tensors(path)
    own, head = model.state_dict(), head_keys(model)
    if not loaded.keys() & own.keys():
        raise ConfigError(f"model.weights must hold tensors of this model, got {path!r}.")
    fitting = {
        key: value
        for key, value in loaded.items()
        if key in own and isinstance(value, Tensor) and value.shape == own[key].shape
    }
    odd = sorted((own.keys() - fitting.keys() - head) | (loaded.keys() - own.keys()), key=str)
    if odd:
        raise ConfigError(
            f"model.weights must fit the model, got {path!r} with {len(odd)} tensor(s) that do "
            f"not: {shorten_list([explain(key, loaded, own) for key in odd], 5)}."
        )
    whole = own.keys() & head <= fitting.keys()
    if not whole:
        fitting = {key: value for key, value in fitting.items() if key not in head}
    model.load_state_dict(fitting, strict=False)
    return whole


def explain(key: str, loaded: Mapping[str, Any], own: Mapping[str, Tensor]) -> str:
    """`key`, and why its tensor does not fit."""
    if key not in own:
        return f"{key} (not in the model)"
    if key not in loaded:
        return f"{key} (not in the file)"
    seen = tuple(loaded[key].shape) if isinstance(loaded[key], Tensor) else "no tensor"
    return f"{key} ({seen}, not {tuple(own[key].shape)})"


def read_tensors(path: str) -> dict[str, Any]:
    """The state dict in a file; nothing in it is executed.

    Raises:
        ConfigError: no such file, or not a state dict.
    """
    file = Path(path)
    if not file.is_file():
        raise ConfigError(f"model.weights must be a file, got {path!r}, which is not there.")
    if file.suffix.lower() == ".safetensors":
        return read_safetensors(file)
    try:
        loaded = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError, ValueError, KeyError) as error:
        raise ConfigError(
            f"model.weights must be a state dict saved by torch.save, got {path!r} "
            f"({first_line(error)})."
        ) from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"model.weights must hold tensors of this model, got {path!r}.")
    inner = next((loaded[key] for key in WRAPPERS if isinstance(loaded.get(key), dict)), loaded)
    return dict(inner)


def read_safetensors(file: Path) -> dict[str, Any]:
    require_package("safetensors", "timm", "model.weights=FILE.safetensors")
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(file))
    except (SafetensorError, OSError) as error:
        raise ConfigError(
            f"model.weights must be a file of safetensors, got {str(file)!r} ({first_line(error)})."
        ) from error
