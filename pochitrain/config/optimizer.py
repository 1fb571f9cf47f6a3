"""Groups `optimizer` and `layer_wise_lr`. The learning rate is a key of the root."""

from dataclasses import dataclass, field
from typing import Annotated

from pochitrain.config.validators import Node, Numbers, Range, require_regex
from pochitrain.error import ConfigError, require

LEARNING_RATE = Range(gt=0, le=1)
NotNegative = Annotated[float | None, Range(ge=0)]
"""null only with strategy=probe, which then chooses it."""
Epsilon = Annotated[float, Range(gt=0)]
Betas = Annotated[list[float], Numbers("two numbers >= 0 and < 1", Range(ge=0, lt=1), count=2)]


@dataclass
class OptimizerConfig:
    _target_: str = "???"
    _partial_: bool = True
    lr: Annotated[float | None, LEARNING_RATE] = "${learning_rate}"  # type: ignore[assignment]  # interpolation
    """Learning rate; follows the key of the root."""
    fused: bool | None = None
    """Update all parameters in one kernel; null = where torch has one for the device."""
    foreach: bool | None = None
    """Update them tensor list by tensor list; null = as torch chooses. false without `fused`: one
    by one."""


@dataclass
class AdamConfig(OptimizerConfig):
    """Kingma & Ba 2015, as torch.optim.Adam."""

    _target_: str = "torch.optim.Adam"
    betas: Betas = field(default_factory=lambda: [0.9, 0.999])
    """Decay of the running averages of the gradient and of its square."""
    eps: Epsilon = 1e-8
    """Added to the denominator, against division by zero."""
    weight_decay: NotNegative = 0.0
    """L2 penalty; null only with strategy=probe, which then chooses it."""
    amsgrad: bool = False
    """Divide by the largest running average so far (Reddi et al. 2018)."""


@dataclass
class AdamWConfig(OptimizerConfig):
    """Loshchilov & Hutter 2019, as torch.optim.AdamW."""

    _target_: str = "torch.optim.AdamW"
    betas: Betas = field(default_factory=lambda: [0.9, 0.999])
    """Decay of the running averages of the gradient and of its square."""
    eps: Epsilon = 1e-8
    """Added to the denominator, against division by zero."""
    weight_decay: NotNegative = 1e-2
    """Decoupled from the gradient; null only with strategy=probe, which then chooses it."""
    amsgrad: bool = False
    """Divide by the largest running average so far (Reddi et al. 2018)."""


@dataclass
class SGDConfig(OptimizerConfig):
    """Stochastic gradient descent with momentum, as torch.optim.SGD."""

    _target_: str = "torch.optim.SGD"
    momentum: Annotated[float, Range(ge=0, lt=1)] = 0.9
    """Part of the step before that is added to this one."""
    dampening: Annotated[float, Range(ge=0, le=1)] = 0.0
    """Part of the gradient that is kept out of the momentum."""
    weight_decay: NotNegative = 1e-4
    """L2 penalty; null only with strategy=probe, which then chooses it."""
    nesterov: bool = False
    """Nesterov's momentum; needs a momentum and no dampening."""


@dataclass
class LayerWiseGraphConfig:
    """How the rates of the layers are drawn."""

    use_log_scale: bool = False
    """Logarithmic axis in graphs/layer_rates.png."""


@dataclass
class LayerWiseLRConfig:
    """Ordered rules: regular expression (re.match on the parameter's dotted name) -> rate."""

    enabled: bool = False
    """Whether layers have learning rates of their own."""
    layer_rates: dict[str, float] = field(default_factory=dict)
    """Regular expression (re.match on the name of a parameter) -> learning rate; the first match
    counts, and parameters without one use learning_rate."""
    decay: Annotated[float | None, Range(gt=0, le=1)] = None
    """Instead of `layer_rates`: the rate of each block is `decay` times that of the next block."""
    no_weight_decay_on_bias_and_norm: bool = False
    """Exempt biases and normalisation layers from weight decay, with or without rates of layers."""
    graph_config: LayerWiseGraphConfig = field(default_factory=LayerWiseGraphConfig)


def check_optimizer(node: Node, root: Node) -> None:
    """Check that `nesterov` comes with momentum and without dampening, and the kernels."""
    both = bool(node.get("fused") and node.get("foreach"))
    require(not both, "optimizer.foreach", "false or null with optimizer.fused=true", True)
    freeze = root["model"].get("freeze")
    late = node.get("momentum") and freeze and freeze is not True  # 1 == True, but is one epoch
    remedy = "torch's fused kernel fails where some layers have a momentum and others none yet."
    require(
        not (node.get("fused") and late),
        "optimizer.fused",
        "false or null with a momentum and layers that are frozen at first (model.freeze)",
        True,
        remedy,
    )
    if node.get("nesterov"):
        ok = node.get("momentum", 0) > 0 and node.get("dampening", 0) == 0
        require(
            ok,
            "optimizer.nesterov",
            "false unless momentum > 0 and dampening = 0",
            True,
            "Set optimizer.momentum=0.9 optimizer.dampening=0.",
        )


def check_layer_wise_lr(node: Node, root: Node) -> None:
    """Check that there are rates or a decay but not both, and each pattern and rate."""
    rates = node.get("layer_rates") or {}
    if node.get("enabled") and not rates and node.get("decay") is None:
        raise ConfigError(
            "層別学習率が有効ですが layer_rates が定義されていません: "
            "layer_wise_lr.layer_rates must map layer names to learning rates when it is enabled, "
            "got nothing. "
            "Use layer_wise_lr=resnet for the guide's rates or layer_wise_lr=none."
        )
    both = bool(rates) and node.get("decay") is not None
    require(not both, "layer_wise_lr.decay", "null when layer_rates are given", node.get("decay"))
    for pattern, rate in rates.items():
        key = f"layer_wise_lr.layer_rates[{pattern!r}]"
        require_regex(pattern, key)
        require(LEARNING_RATE.holds(rate), key, "a learning rate > 0 and <= 1", rate)


SCHEMAS = {"adam": AdamConfig, "adamw": AdamWConfig, "sgd": SGDConfig}
LAYER_WISE_LR = {"layer_wise_lr": LayerWiseLRConfig}
