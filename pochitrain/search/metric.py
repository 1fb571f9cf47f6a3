"""The metric that a search optimises."""

from typing import Any

from omegaconf import DictConfig

from pochitrain.config.monitor import monitored_metric
from pochitrain.metric.table import find_metric


def searched_metric(config: DictConfig) -> str:
    """Name of the metric that trials report, a column of training_metrics.csv."""
    root: Any = config
    return monitored_metric(root)


def metric_label(name: str) -> str:
    """The name of a metric with its unit, for graphs."""
    metric = find_metric(name)
    return f"{name} ({metric.unit})" if metric is not None and metric.unit else name
