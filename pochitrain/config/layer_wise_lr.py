"""Group `layer_wise_lr`: a learning rate of its own for each part of the model."""

from dataclasses import dataclass, field

from pochitrain.config.validators import Node, is_number, require_range, require_regex
from pochitrain.error import ConfigError, require


@dataclass
class LayerWiseGraphConfig:
    use_log_scale: bool = False


@dataclass
class LayerWiseLRConfig:
    """Ordered rules: regular expression (re.match on the parameter's dotted name) -> rate."""

    enabled: bool = False
    layer_rates: dict[str, float] = field(default_factory=dict)
    decay: float | None = None
    """Instead of `layer_rates`: each block's rate is `decay` times that of the next one."""
    no_weight_decay_on_bias_and_norm: bool = False
    graph_config: LayerWiseGraphConfig = field(default_factory=LayerWiseGraphConfig)


def check_layer_wise_lr(node: Node, root: Node) -> None:
    require_range(node, "decay", "layer_wise_lr.", low=0, high=1, open_low=True)
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
        require(is_number(rate) and 0 < rate <= 1, key, "a learning rate > 0 and <= 1", rate)


SCHEMAS = {"layer_wise_lr": LayerWiseLRConfig}
