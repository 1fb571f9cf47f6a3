"""The metrics of a run, from names and nodes of the config to objects."""

from collections.abc import Mapping, Sequence
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
    """What validation computes besides loss and accuracy, in the order of the columns.

    The metrics that `metrics.names` lists, those of the user's own, and those that are watched.

    Raises:
        ConfigError: for a metric of the user's own that does not work, or a top-k accuracy that
            is 100 % whatever the model answers.
    """
    cfg = parts.cfg
    custom = {name: build_custom(parts, name, num_classes) for name in cfg.metrics.custom}
    watched = [monitored_metric(cfg)]
    if cfg.early_stopping.enabled:
        watched.append(cfg.early_stopping.monitor)
    names = [*cfg.metrics.names, *custom, *(name.removeprefix(AVERAGED) for name in watched)]
    found = [custom.get(name) or find_metric(name) for name in dict.fromkeys(names)]
    metrics = [
        metric
        for metric in found
        if metric is not None and metric.compute is not None and not is_column_anyway(metric)
    ]
    for metric in metrics:
        require_some_misses(metric, num_classes)
    if cfg.early_stopping.enabled:  # now, since nothing is written yet
        build_monitor(cfg, cfg.early_stopping.monitor, metrics, "early_stopping.monitor")
    return metrics


def saved_metrics(classifier: Classifier, warnings: list[str]) -> list[Metric]:
    """What to compute of the predictions of a trained model: every metric that needs no loss, and
    those of its run.

    Args:
        warnings: gets a line for each metric of the person's own that may not be run here.
    """
    node = classifier.config.get("metrics", {})
    found = {metric.name: metric for metric in ON_PREDICTIONS}
    for name in node.get("names", []):
        metric = find_metric(str(name))
        if metric is not None and metric.top_k is not None:
            found[metric.name] = metric
    parts = Components(OmegaConf.create(classifier.config), classifier.allow)
    for name in node.get("custom", {}):
        try:
            with naming_allow_flag():
                found[name] = build_custom(parts, name, len(classifier.class_names))
        except ConfigError as error:
            warnings.append(f"{name} is left out: {error}")
    return list(found.values())


def is_column_anyway(metric: Metric) -> bool:
    return metric.name in ("val_loss", "val_accuracy")


def require_some_misses(metric: Metric, num_classes: int) -> None:
    if metric.top_k is not None and metric.top_k >= num_classes:
        raise ConfigError(
            f"{metric.name} must have a k below the number of classes ({num_classes}), got "
            f"{metric.top_k}: it would always be 100 %. Change metrics.names or what is monitored."
        )


def build_custom(parts: Components, name: str, num_classes: int) -> Metric:
    """The metric of the user's own in `metrics.custom.<name>`, tried once.

    It is a callable that takes a confusion matrix (numpy, int64, shape (C, C), rows = true class)
    and returns a number. Its attributes `higher_is_better` (a boolean) and `unit` ("%") count,
    where it has them.

    Raises:
        ConfigError: if it is none.
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
    source = getattr(built, "func", built)  # of a partial, the function may say it
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
    """What to know of the number `name` to tell better from worse.

    Args:
        key: of the config, which names it.

    Raises:
        ConfigError: if its direction is not known, or not the one that was said.
    """
    known = next((metric for metric in metrics if metric.name == name), find_metric(name))
    said = cfg.get("monitor_direction")
    better = None if known is None else known.higher_is_better
    wanted = None if said is None else said == "maximize"
    if better is None and wanted is None:
        raise ConfigError(
            f"monitor_direction must be maximize or minimize with {key}={name}, got null: nothing "
            "says which is better. The metric can, with an attribute higher_is_better."
        )
    if key == "monitor" and better is not None:
        rule = f"null or {'maximize' if better else 'minimize'} with monitor={name}"
        require(wanted in (None, better), "monitor_direction", rule, said, "The metric says so.")
    chosen = better if better is not None else wanted
    unit = "" if known is None else known.unit
    return Monitor(name, Metric(name, None, chosen, unit))


def choose_monitor(cfg: DictConfig, has_validation: bool, metrics: Sequence[Metric]) -> Monitor:
    """What decides about the best epoch: see `monitored_metric`."""
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
