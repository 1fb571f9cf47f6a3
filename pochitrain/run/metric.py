"""Builds the metrics of a run from names and nodes in the config."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from omegaconf import DictConfig, OmegaConf

from pochitrain.config.component import Components
from pochitrain.config.monitor import monitored_metric
from pochitrain.engine.state import Monitor
from pochitrain.error import ConfigError, require
from pochitrain.inference.classifier import Classifier, naming_allow_flag
from pochitrain.inference.score import ON_PREDICTIONS
from pochitrain.metric.metric import Metric
from pochitrain.metric.table import AVERAGED, find_metric
from pochitrain.text import first_line


def build_metrics(parts: Components, num_classes: int) -> list[Metric]:
    """The metrics that validation computes besides loss and accuracy, in the order of columns.

    These are `metrics.names`, `metrics.custom`, and the metrics that are monitored.

    Raises:
        ConfigError: for a custom metric that does not work, or a top-k accuracy that would always
            be 100 %.
    """
    cfg = parts.cfg
    custom = {name: build_custom(parts, name, num_classes) for name in cfg.metrics.custom}
    monitored = [monitored_metric(cfg)]
    if cfg.early_stopping.enabled:
        monitored.append(cfg.early_stopping.monitor)
    names = [*cfg.metrics.names, *custom, *(name.removeprefix(AVERAGED) for name in monitored)]
    found = [custom.get(name) or find_metric(name) for name in dict.fromkeys(names)]
    metrics = [
        metric
        for metric in found
        if metric is not None and metric.compute is not None and not is_column_anyway(metric)
    ]
    for metric in metrics:
        require_some_misses(metric, num_classes)
    if cfg.early_stopping.enabled:  # to report errors before anything is written
        build_monitor(cfg, cfg.early_stopping.monitor, metrics, "early_stopping.monitor")
    return metrics


def saved_metrics(classifier: Classifier, warnings: list[str]) -> list[Metric]:
    """The metrics of `pochi infer`: all that need no loss, and those of the training run.

    Args:
        warnings: a line is added for each custom metric that is not allowed here.
    """
    node = classifier.config.get("metrics", {})
    found = {metric.name: metric for metric in metrics_of_names(node.get("names", []))}
    parts = Components(OmegaConf.create(classifier.config), classifier.allow)
    for name in node.get("custom", {}):
        try:
            with naming_allow_flag():
                found[name] = build_custom(parts, name, len(classifier.class_names))
        except ConfigError as error:
            warnings.append(f"{name} is left out: {error}")
    return list(found.values())


def metrics_of_names(names: Iterable[object]) -> list[Metric]:
    """All metrics that need no loss, and the top-k accuracies among `names`."""
    found = {metric.name: metric for metric in ON_PREDICTIONS}
    for name in names:
        metric = find_metric(str(name))
        if metric is not None and metric.top_k is not None:
            found[metric.name] = metric
    return list(found.values())


def is_column_anyway(metric: Metric) -> bool:
    """Whether the metric is one of the guide's columns, which are always written."""
    return metric.name in ("val_loss", "val_accuracy")


def require_some_misses(metric: Metric, num_classes: int) -> None:
    """Refuse a top-k accuracy with k >= the number of classes.

    Raises:
        ConfigError: with the remedy.
    """
    if metric.top_k is not None and metric.top_k >= num_classes:
        raise ConfigError(
            f"{metric.name} must have a k below the number of classes ({num_classes}), got "
            f"{metric.top_k}: it would always be 100 %. Change metrics.names or what is monitored."
        )


def build_custom(parts: Components, name: str, num_classes: int) -> Metric:
    """Build the user's metric `metrics.custom.<name>`, and try it once.

    It is a callable that takes a confusion matrix (numpy, int64, shape (C, C), rows = true class)
    and returns a number. It may have the attributes `higher_is_better` (a boolean) and `unit`
    ("%").

    Raises:
        ConfigError: if it is not such a callable.
    """
    key = f"metrics.custom.{name}"
    built = parts.build(key)
    require(callable(built), key, "a callable that takes a confusion matrix", type(built).__name__)
    try:
        float(built(np.eye(num_classes, dtype=np.int64)))
    except Exception as error:
        raise ConfigError(
            f"{key} fails on the confusion matrix of {num_classes} right answers: "
            f"{type(error).__name__}: {first_line(error)}"
        ) from error
    source = getattr(built, "func", built)  # a partial has no attributes of its own
    better = getattr(source, "higher_is_better", None)
    require(
        better in (True, False, None), f"{key}.higher_is_better", "true, false or absent", better
    )
    unit = getattr(source, "unit", "")
    require(unit in ("", "%"), f"{key}.unit", "'%' or ''", unit)
    return Metric(name, lambda evaluation: float(built(evaluation.confusion)), better, unit)


def build_monitor(
    cfg: DictConfig, name: str, metrics: Sequence[Metric], key: str = "monitor"
) -> Monitor:
    """The monitor of the metric or column `name`, with its direction and unit.

    Args:
        metrics: the metrics of the run, in which custom ones are looked up.
        key: config key that names it, for messages.

    Raises:
        ConfigError: if its direction is unknown, or differs from monitor_direction.
    """
    known = next((metric for metric in metrics if metric.name == name), find_metric(name))
    said = cfg.get("monitor_direction")
    better = None if known is None else known.higher_is_better
    wanted = None if said is None else said == "maximize"
    if better is None and wanted is None:
        raise ConfigError(
            f"monitor_direction must be maximize or minimize with {key}={name}, got null. "
            "The metric may have an attribute higher_is_better instead."
        )
    if key == "monitor" and better is not None:
        rule = f"null or {'maximize' if better else 'minimize'} with monitor={name}"
        require(
            wanted in (None, better),
            "monitor_direction",
            rule,
            said,
            "The metric has this direction.",
        )
    chosen = better if better is not None else wanted
    unit = "" if known is None else known.unit
    return Monitor(name, Metric(name, None, chosen, unit))


def choose_monitor(cfg: DictConfig, has_validation: bool, metrics: Sequence[Metric]) -> Monitor:
    """The monitor that decides which epoch is best; see `monitored_metric`."""
    name = monitored_metric(cast(Mapping[str, Any], cfg))
    if not has_validation and name.startswith(("val_", AVERAGED)):
        return Monitor("train_loss")
    monitor = build_monitor(cfg, name, metrics)
    if cfg.optuna.enabled:
        maximizes = cfg.optuna.direction == "maximize"
        require(
            monitor.higher_is_better is maximizes,
            "monitor_direction",
            f"{'maximize' if monitor.higher_is_better else 'minimize'} in a search with "
            f"monitor={name}",
            cfg.monitor_direction,
            "The search must know it before the first trial.",
        )
    return monitor
