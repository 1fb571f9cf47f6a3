"""Group `scheduler`: how the learning rate changes. Stepped once per epoch."""

from dataclasses import dataclass, field
from itertools import pairwise

from pochitrain.config.validators import Node, require_int, require_positive_int, require_range
from pochitrain.error import require


@dataclass
class NoSchedulerConfig:
    """The learning rate stays as it is (ConstantLR with factor 1)."""

    _target_: str = "torch.optim.lr_scheduler.ConstantLR"
    _partial_: bool = True
    factor: float = 1.0
    total_iters: int = 0


@dataclass
class StepLRConfig:
    """Multiply by `gamma` every `step_size` epochs."""

    _target_: str = "torch.optim.lr_scheduler.StepLR"
    _partial_: bool = True
    step_size: int = 30
    gamma: float = 0.1


@dataclass
class MultiStepLRConfig:
    """Multiply by `gamma` at each of the epochs in `milestones`."""

    _target_: str = "torch.optim.lr_scheduler.MultiStepLR"
    _partial_: bool = True
    milestones: list[int] = field(default_factory=lambda: [30, 60, 90])
    gamma: float = 0.1


@dataclass
class CosineAnnealingLRConfig:
    """Half a cosine from the learning rate to `eta_min` in `T_max` epochs."""

    _target_: str = "torch.optim.lr_scheduler.CosineAnnealingLR"
    _partial_: bool = True
    T_max: int = "${epochs}"  # type: ignore[assignment]  # interpolation
    eta_min: float = 0.0


@dataclass
class ExponentialLRConfig:
    """Multiply by `gamma` every epoch."""

    _target_: str = "torch.optim.lr_scheduler.ExponentialLR"
    _partial_: bool = True
    gamma: float = 0.95


@dataclass
class LinearLRConfig:
    """Factor from `start_factor` to `end_factor` in a straight line over `total_iters` epochs."""

    _target_: str = "torch.optim.lr_scheduler.LinearLR"
    _partial_: bool = True
    start_factor: float = 1.0
    end_factor: float = 0.1
    total_iters: int = 100


CONSTANT_REMEDY = "To keep the learning rate constant use scheduler=none."


def check_scheduler(node: Node, root: Node) -> None:
    require_int(root, "warmup_epochs", low=0, remedy="0 starts with the full learning rate.")
    require_range(root, "warmup_start_factor", low=0, high=1, open_low=True)
    require_positive_int(node, "step_size", "scheduler.", CONSTANT_REMEDY)
    require_positive_int(node, "T_max", "scheduler.", "Usually T_max equals epochs.")
    require_int(node, "total_iters", "scheduler.", low=0)
    require_range(node, "eta_min", "scheduler.", low=0)
    require_range(node, "start_factor", "scheduler.", low=0, high=1, open_low=True)
    require_range(node, "end_factor", "scheduler.", low=0, high=1)
    open_high = str(node.get("_target_", "")).endswith(".ExponentialLR")
    require_range(
        node,
        "gamma",
        "scheduler.",
        low=0,
        high=1,
        open_low=True,
        open_high=open_high,
        remedy=CONSTANT_REMEDY,
    )
    if "milestones" in node:
        epochs = node["milestones"]
        rising = all(a < b for a, b in pairwise(epochs))
        ok = bool(epochs) and all(epoch >= 1 for epoch in epochs) and rising
        require(ok, "scheduler.milestones", "rising epochs, each >= 1", epochs, CONSTANT_REMEDY)


def scheduler_warnings(node: Node, root: Node) -> list[str]:
    """Settings that are legal but surely not meant."""
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
            f"{', '.join(low)}: these layers speed up instead of slowing down."
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
