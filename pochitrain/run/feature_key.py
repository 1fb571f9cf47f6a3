"""What the features of images depend on, besides weights, images, transforms and precision."""

import functools
import json
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn

from pochitrain.config.component import plain
from pochitrain.config.transform_step import FIT_IMAGE, is_step
from pochitrain.engine.device import uses_tf32

CODE = ("pochitrain", "torch", "torchvision", "timm")
"""Packages whose code may compute features."""
FIXED = (
    *("Resize", "CenterCrop", "Pad", "Grayscale", "RGB", "Identity"),
    *("ToTensor", "PILToTensor", "ToImage", "ToDtype", "ConvertImageDtype", "Normalize"),
)
"""Steps that draw no random numbers."""
REFERENCE = "pochitrain.transform.reference.load_reference"
"""Gives an object that the user's Python config file defines."""


def describe_dependencies(cfg: DictConfig, device: torch.device) -> list[str]:
    """Settings and versions on which features depend."""
    model = {key: value for key, value in plain(cfg.model).items() if key != "num_classes"}
    versions = {name: version_of(name) for name in (*CODE, "pillow")}
    exact = device.type == "cuda" and bool(cfg.deterministic)
    described = [model, versions, bool(cfg.channels_last), exact, uses_tf32(device, exact)]
    return [json.dumps(described, sort_keys=True, default=str)]


@functools.cache
def version_of(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def uses_own_code(cfg: DictConfig, model: nn.Module) -> bool:
    """Whether code of the user's own takes part in computing features.

    Nobody can tell when that changes, so such features are of no use to another run.
    """
    targets = find_targets(plain(cfg.transform))
    modules = {type(part).__module__ for part in model.modules()}
    homes = {name.partition(".")[0] for name in targets | modules}
    return REFERENCE in targets or not homes <= {*CODE}


def depends_on_seed(steps: Sequence[dict[str, Any]]) -> bool:
    """Whether steps may draw random numbers, or are unknown."""
    return not all(is_step(node, *FIXED) or node.get("_target_") == FIT_IMAGE for node in steps)


def find_targets(node: Any) -> set[str]:
    """Every `_target_` in a tree of plain values."""
    if isinstance(node, dict):
        own = {str(node["_target_"])} if "_target_" in node else set()
        return own.union(*map(find_targets, node.values()))
    return set().union(*map(find_targets, node)) if isinstance(node, list) else set()
