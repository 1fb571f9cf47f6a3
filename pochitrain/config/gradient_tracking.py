"""Group `gradient_tracking`: the gradient norm of each layer, epoch by epoch."""

from dataclasses import dataclass, field

from pochitrain.config.validators import Node, require_choice, require_positive_int, require_regex

AGGREGATIONS = ("median", "mean", "max", "rms")


@dataclass
class GradientTrackingConfig:
    enabled: bool = False
    record_frequency: int = 1
    """Record epochs n, 2n, ...; 1 = every epoch."""
    exclude_patterns: list[str] = field(default_factory=lambda: [r"fc\.", r"\.bias"])
    group_by_block: bool = True
    aggregation_method: str = "median"


def check_gradient_tracking(node: Node, root: Node) -> None:
    require_positive_int(node, "record_frequency", "gradient_tracking.")
    require_choice(node, "aggregation_method", AGGREGATIONS, "gradient_tracking.")
    for i, pattern in enumerate(node.get("exclude_patterns", [])):
        require_regex(pattern, f"gradient_tracking.exclude_patterns[{i}]")


def gradient_tracking_warnings(node: Node, root: Node) -> list[str]:
    if node.get("enabled") and not root["metrics"]["export"]:
        return [
            "gradient_tracking.enabled=true has no effect, because metrics.export is false: "
            "neither CSV files nor graphs are written."
        ]
    return []


SCHEMAS = {"gradient_tracking": GradientTrackingConfig}
