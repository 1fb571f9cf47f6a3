"""Group `scheduler`: how the learning rate changes. Stepped once per epoch."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated

from pochitrain.config.validators import Node, Range, Rule

CONSTANT_REMEDY = "To keep the learning rate constant use scheduler=none."
Gamma = Annotated[float, Range(gt=0, le=1, remedy=CONSTANT_REMEDY)]
Epochs = Annotated[int, Range(ge=0)]


def is_rising(epochs: list[int]) -> bool:
    """Whether `epochs` is a strictly increasing, non-empty list of numbers >= 1."""
    return bool(epochs) and epochs[0] >= 1 and all(a < b for a, b in pairwise(epochs))


@dataclass
class NoSchedulerConfig:
    """The learning rate stays as it is (ConstantLR with factor 1)."""

    _target_: str = "torch.optim.lr_scheduler.ConstantLR"
    _partial_: bool = True
    factor: float = 1.0
    """Of the learning rate in the first `total_iters` epochs."""
    total_iters: Epochs = 0
    """Epochs with that factor."""


@dataclass
class StepLRConfig:
    """Multiply by `gamma` every `step_size` epochs."""

    _target_: str = "torch.optim.lr_scheduler.StepLR"
    _partial_: bool = True
    step_size: Annotated[int, Range(ge=1, remedy=CONSTANT_REMEDY)] = 30
    """Epochs between two steps."""
    gamma: Gamma = 0.1
    """Factor of a step."""


@dataclass
class MultiStepLRConfig:
    """Multiply by `gamma` at each of the epochs in `milestones`."""

    _target_: str = "torch.optim.lr_scheduler.MultiStepLR"
    _partial_: bool = True
    milestones: Annotated[
        list[int], Rule("rising epochs, each >= 1", is_rising, CONSTANT_REMEDY)
    ] = field(default_factory=lambda: [30, 60, 90])
    """Epochs after which the rate is multiplied."""
    gamma: Gamma = 0.1
    """Factor of a step."""


@dataclass
class CosineAnnealingLRConfig:
    """Half a cosine from the learning rate to `eta_min` in `T_max` epochs."""

    _target_: str = "torch.optim.lr_scheduler.CosineAnnealingLR"
    _partial_: bool = True
    T_max: Annotated[int, Range(ge=1, remedy="Usually T_max equals epochs.")] = "${epochs}"  # type: ignore[assignment]  # interpolation
    """Epochs until the rate is at its lowest; after more it climbs again."""
    eta_min: Annotated[float, Range(ge=0)] = 0.0
    """Lowest learning rate."""


@dataclass
class ExponentialLRConfig:
    """Multiply by `gamma` every epoch."""

    _target_: str = "torch.optim.lr_scheduler.ExponentialLR"
    _partial_: bool = True
    gamma: Annotated[float, Range(gt=0, lt=1, remedy=CONSTANT_REMEDY)] = 0.95
    """Factor of every epoch."""


@dataclass
class LinearLRConfig:
    """Factor that changes linearly from `start_factor` to `end_factor` in `total_iters` epochs."""

    _target_: str = "torch.optim.lr_scheduler.LinearLR"
    _partial_: bool = True
    start_factor: Annotated[float, Range(gt=0, le=1)] = 1.0
    """Of the learning rate in the first epoch."""
    end_factor: Annotated[float, Range(ge=0, le=1)] = 0.1
    """Of the learning rate after `total_iters` epochs."""
    total_iters: Epochs = 100
    """Epochs from one factor to the other."""


def scheduler_warnings(node: Node, root: Node) -> list[str]:
    """Warnings about settings that are valid but probably not intended."""
    epochs = root["epochs"]
    found = []
    if root["warmup_epochs"] >= epochs:
        found.append(
            f"warmup_epochs={root['warmup_epochs']} is not below epochs={epochs}: the run never "
            "reaches the full learning rate."
        )
    rates = root["layer_wise_lr"].get("layer_rates") or {}
    low = [name for name, rate in rates.items() if rate < node.get("eta_min", 0)]
    if low and root["layer_wise_lr"].get("enabled"):
        found.append(
            f"scheduler.eta_min={node['eta_min']:g} is above the learning rate of "
            f"{', '.join(low)}: the rates of these layers rise instead of falling."
        )
    if node.get("T_max", epochs) < epochs:
        found.append(
            f"scheduler.T_max={node['T_max']} is below epochs={epochs}: the learning rate climbs "
            f"again after epoch {node['T_max']}. Usually T_max equals epochs."
        )
    if node.get("step_size", 0) >= epochs:
        found.append(
            f"scheduler.step_size={node['step_size']} is not below epochs={epochs}: the learning "
            "rate never changes."
        )
    if node.get("milestones") and node["milestones"][0] >= epochs:
        found.append(
            f"scheduler.milestones={node['milestones']} start after epochs={epochs}: the learning "
            "rate never changes."
        )
    return found


SCHEMAS = {
    "none": NoSchedulerConfig,
    "steplr": StepLRConfig,
    "multisteplr": MultiStepLRConfig,
    "cosineannealinglr": CosineAnnealingLRConfig,
    "exponentiallr": ExponentialLRConfig,
    "linearlr": LinearLRConfig,
}
