"""Functions that build arguments of transforms for which YAML has no notation."""

from typing import Any

import numpy as np
import torch
from torch import Tensor


def as_tuple(items: list[Any]) -> tuple[Any, ...]:
    """A tuple, for transforms that distinguish tuples from lists."""
    return tuple(items)


def torch_dtype(name: str) -> torch.dtype:
    """The dtype `torch.<name>`.

    Raises:
        ValueError: if torch has no such dtype.
    """
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"torch has no dtype {name!r}")
    return dtype


def tensor(data: Any, dtype: str = "float32") -> Tensor:
    """A small tensor from nested lists."""
    return torch.tensor(data, dtype=torch_dtype(dtype))


def array(data: Any, dtype: str = "float64") -> np.ndarray[Any, Any]:
    """A small NumPy array from nested lists."""
    return np.array(data, dtype=dtype)


def mapping(keys: list[Any], values: list[Any]) -> dict[Any, Any]:
    """A dictionary whose keys need not be strings: keys[i] maps to values[i]."""
    return dict(zip(keys, values, strict=True))


def tv_tensor_type(name: str) -> type:
    """A class of torchvision.tv_tensors (Image, Mask, ...).

    Raises:
        ValueError: if torchvision has no such class.
    """
    from torchvision import tv_tensors

    found = getattr(tv_tensors, name, None)
    if not isinstance(found, type):
        raise ValueError(f"torchvision.tv_tensors has no class {name!r}")
    return found
