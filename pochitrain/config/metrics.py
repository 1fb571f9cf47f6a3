"""Group `metrics`: what a run writes about itself."""

from dataclasses import dataclass

from pochitrain.config.validators import Node


@dataclass
class MetricsConfig:
    export: bool = True
    """Write the tables (training_metrics.csv and its like) and the graphs."""
    tensorboard: bool = False


def check_metrics(node: Node, root: Node) -> None:
    """Types say it all."""


SCHEMAS = {"metrics": MetricsConfig}
