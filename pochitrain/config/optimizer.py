"""Group `optimizer`. The learning rate itself is the root key `learning_rate`."""

from dataclasses import dataclass, field

from pochitrain.config.validators import Node, require_range
from pochitrain.error import require


@dataclass
class OptimizerConfig:
    _target_: str = "???"
    _partial_: bool = True
    lr: float = "${learning_rate}"  # type: ignore[assignment]  # interpolation


@dataclass
class AdamConfig(OptimizerConfig):
    """Kingma & Ba 2015, as torch.optim.Adam."""

    _target_: str = "torch.optim.Adam"
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    eps: float = 1e-8
    weight_decay: float = 0.0
    amsgrad: bool = False


@dataclass
class AdamWConfig(OptimizerConfig):
    """Loshchilov & Hutter 2019, as torch.optim.AdamW."""

    _target_: str = "torch.optim.AdamW"
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    eps: float = 1e-8
    weight_decay: float = 1e-2
    amsgrad: bool = False


@dataclass
class SGDConfig(OptimizerConfig):
    """Stochastic gradient descent with momentum, as torch.optim.SGD."""

    _target_: str = "torch.optim.SGD"
    momentum: float = 0.9
    dampening: float = 0.0
    weight_decay: float = 1e-4
    nesterov: bool = False


def check_optimizer(node: Node, root: Node) -> None:
    require_range(node, "lr", "optimizer.", low=0, high=1, open_low=True)
    require_range(node, "weight_decay", "optimizer.", low=0)
    require_range(node, "momentum", "optimizer.", low=0, high=1, open_high=True)
    require_range(node, "dampening", "optimizer.", low=0, high=1)
    require_range(node, "eps", "optimizer.", low=0, open_low=True)
    if "betas" in node:
        betas = node["betas"]
        ok = len(betas) == 2 and all(0 <= beta < 1 for beta in betas)
        require(ok, "optimizer.betas", "two numbers >= 0 and < 1", betas)
    if node.get("nesterov"):
        ok = node["momentum"] > 0 and node["dampening"] == 0
        require(
            ok,
            "optimizer.nesterov",
            "false unless momentum > 0 and dampening = 0",
            True,
            "Set optimizer.momentum=0.9 optimizer.dampening=0.",
        )


SCHEMAS = {"adam": AdamConfig, "adamw": AdamWConfig, "sgd": SGDConfig}
