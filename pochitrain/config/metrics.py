"""Group `metrics`: which metrics a run computes, and which files it writes."""

import re
from dataclasses import dataclass, field
from typing import Any

from pochitrain.config.data import has_validation
from pochitrain.config.monitor import require_names
from pochitrain.config.validators import Node
from pochitrain.error import require
from pochitrain.metric.table import find_metric

DEFAULT_NAMES = ("val_balanced_accuracy", "val_macro_f1")


@dataclass
class MetricsConfig:
    """Which metrics a run computes, and which files it writes."""

    export: bool = True
    """Write the CSV files (training_metrics.csv, ...) and the graphs."""
    tensorboard: bool = False
    """Also write TensorBoard events (extra `tensorboard`)."""
    names: list[str] = field(default_factory=lambda: list(DEFAULT_NAMES))
    """Validation metrics in the CSV besides loss and accuracy. Monitored and custom metrics are
    always added."""
    custom: dict[str, Any] = field(default_factory=dict)
    """Metrics of the user's own: val_<name> -> node of a callable that takes a confusion matrix."""


def check_metrics(node: Node, root: Node) -> None:
    for name, entry in node["custom"].items():
        key = f"metrics.custom.{name}"
        ok = re.fullmatch(r"val_[A-Za-z0-9_]+", name) is not None
        require(ok, key, "called val_<name>, in letters, digits and _", name)
        require(find_metric(name) is None, key, "a new name", name, "It is a metric of pochitrain.")
        ok = isinstance(entry, dict) and "_target_" in entry
        require(ok, key, "a node with _target_", entry)
    require_names(node["names"], "metrics.names", node["custom"])


def metrics_warnings(node: Node, root: Node) -> list[str]:
    chosen = tuple(node["names"]) not in ((), DEFAULT_NAMES) or node["custom"]
    if chosen and not has_validation(root):
        return ["metrics.names and metrics.custom have no effect without validation pictures."]
    return []


SCHEMAS = {"metrics": MetricsConfig}
