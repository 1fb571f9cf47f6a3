"""Group `metrics`: what a run writes about itself."""

from dataclasses import dataclass

from pochitrain.config.rule import Node


@dataclass
class MetricsConfig:
    export: bool = True
    """Write training_metrics.csv and the graphs."""
    tensorboard: bool = False


def check_metrics(node: Node, root: Node) -> None:
    """Types say it all."""


SCHEMAS = {"metrics": MetricsConfig}
