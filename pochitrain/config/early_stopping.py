"""Group `early_stopping`: stop when the validation no longer improves."""

from dataclasses import dataclass
from typing import Annotated

from pochitrain.config.data import has_validation
from pochitrain.config.monitor import require_number
from pochitrain.config.validators import Node, Range
from pochitrain.error import require
from pochitrain.metric.table import TRAINING, find_metric


@dataclass
class EarlyStoppingConfig:
    """Stop when the validation no longer improves."""

    enabled: bool = False
    """Whether a run may stop early."""
    patience: Annotated[int, Range(ge=1)] = 30
    """Epochs without improvement that are tolerated."""
    min_delta: Annotated[float, Range(ge=0)] = 3.0
    """Smallest change that counts (percentage points, or units of the loss)."""
    monitor: str = "${monitor}"
    """Any metric, or a column that a callback adds."""


def check_early_stopping(node: Node, root: Node) -> None:
    require_number(node["monitor"], "early_stopping.monitor", root)
    require(
        not node.get("enabled") or has_validation(root) or node["monitor"] in TRAINING,
        "early_stopping.enabled",
        "false without validation pictures",
        node.get("enabled"),
        "Set data.val_root or data.val_fraction.",
    )


def early_stopping_warnings(node: Node, root: Node) -> list[str]:
    metric = find_metric(node["monitor"])
    if not node.get("enabled") or metric is None or metric.unit or node["min_delta"] < 1:
        return []
    rarely = "a loss rarely falls" if metric.name.endswith("loss") else "it never rises"
    return [
        f"early_stopping.min_delta={node['min_delta']:g} with monitor={metric.name}: {rarely} "
        "by that much in an epoch, so the run will stop early. Try min_delta=0.0."
    ]


SCHEMAS = {"early_stopping": EarlyStoppingConfig}
