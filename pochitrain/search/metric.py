"""The metric that a search optimises: the one place that says which."""

from omegaconf import DictConfig


def searched_metric(config: DictConfig) -> str:
    """Name of the metric that every trial reports, as in the columns of training_metrics.csv."""
    return "val_loss" if config.optuna.direction == "minimize" else "val_accuracy"


def metric_label(metric: str) -> str:
    """The name with its unit, for graphs."""
    return f"{metric} (%)" if metric == "val_accuracy" else metric
