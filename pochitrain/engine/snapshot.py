"""A copy of a state as a checkpoint can hold it."""

import copy
from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pochitrain.error import PochiError

PLAIN = (bool, int, float, complex, str, bytes, torch.dtype, torch.device)
"""Types that `weights_only=True` can read, besides None, tensors and containers."""


def snapshot(value: Any, path: str = "", frozen: Mapping[int, Tensor] | None = None) -> Any:
    """A deep copy on the CPU, which later training does not change.

    Args:
        path: place of `value` in the checkpoint, for the message.
        frozen: address -> what stands for the tensor there, without a copy.

    Raises:
        PochiError: for a value that `torch.load(weights_only=True)` would refuse to read.
    """
    if isinstance(value, Tensor):
        same = frozen.get(value.data_ptr()) if frozen else None
        if same is not None and same.shape == value.shape:
            return same
        return value.detach().to("cpu", copy=True)
    if type(value) in (dict, Counter, OrderedDict):
        twin = copy.copy(value)  # keeps the attributes that torch adds to a state dict
        twin.clear()
        for key, item in value.items():
            twin[snapshot(key, f"{path}.{key}")] = snapshot(item, f"{path}.{key}", frozen)
        return twin
    if type(value) in (list, tuple, set, torch.Size):
        return type(value)([snapshot(item, f"{path}[{i}]", frozen) for i, item in enumerate(value)])
    if isinstance(value, np.generic):  # for example from np.mean()
        return value.item()
    if value is None or type(value) in PLAIN:
        return value
    raise PochiError(
        f"A checkpoint can hold tensors, numbers, text, lists and dicts, got {path[1:]} of type "
        f"{type(value).__module__}.{type(value).__qualname__}. Save it as one of these in "
        "state_dict() and convert it back in load_state_dict()."
    )
