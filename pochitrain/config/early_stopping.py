"""Group `early_stopping`: stop when the validation no longer improves."""

from dataclasses import dataclass

from pochitrain.config.data import has_validation
from pochitrain.config.validators import Node, require_choice, require_positive_int, require_range
from pochitrain.error import require

MONITORS = ("val_accuracy", "val_loss")


@dataclass
class EarlyStoppingConfig:
    enabled: bool = False
    patience: int = 30
    """Epochs without improvement that are tolerated."""
    min_delta: float = 3.0
    """Smallest change that counts (percentage points, or units of the loss)."""
    monitor: str = "val_accuracy"


def check_early_stopping(node: Node, root: Node) -> None:
    require_positive_int(node, "patience", "early_stopping.")
    require_range(node, "min_delta", "early_stopping.", low=0)
    require_choice(node, "monitor", MONITORS, "early_stopping.")
    require(
        not node.get("enabled") or has_validation(root),
        "early_stopping.enabled",
        "false without validation pictures",
        node.get("enabled"),
        "Set data.val_root or data.val_fraction.",
    )


def early_stopping_warnings(node: Node, root: Node) -> list[str]:
    if node.get("enabled") and node["monitor"] == "val_loss" and node["min_delta"] >= 1:
        return [
            f"early_stopping.min_delta={node['min_delta']:g} with monitor=val_loss: a loss rarely "
            "falls by that much in an epoch, so the run will stop early. Try min_delta=0.0."
        ]
    return []


SCHEMAS = {"early_stopping": EarlyStoppingConfig}
