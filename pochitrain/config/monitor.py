"""Keys `monitor` and `monitor_direction`: the metric that decides which epoch is best."""

from collections.abc import Iterable
from typing import Any

from pochitrain.config.data import has_validation
from pochitrain.config.validators import Node, require_choice
from pochitrain.error import ConfigError, require
from pochitrain.metric.table import AVERAGED, METRICS, TRAINING, find_metric
from pochitrain.text import did_you_mean

DEFAULT = "val_accuracy"
DIRECTIONS = ("maximize", "minimize")
TOP_K_FORM = "val_top<k>_accuracy"


def monitored_metric(root: Node) -> str:
    """Name of the metric that decides which epoch is best.

    It is `monitor`, unless that is left at its default. Then it is the training loss without
    validation images; in a search, val_accuracy or val_loss, as `optuna.direction` says; otherwise
    `early_stopping.monitor`, if early stopping is enabled.

    Args:
        root: the composed config, plain or not, interpolations resolved.
    """
    name = str(root["monitor"])
    if name != DEFAULT:
        return name
    if not has_validation(root):
        return "train_loss"
    if root["optuna"].get("enabled"):
        return "val_loss" if root["optuna"]["direction"] == "minimize" else name
    if root["early_stopping"]["enabled"]:
        return str(root["early_stopping"]["monitor"])
    return name


def known_direction(name: str, monitor_direction: str | None) -> str | None:
    """`maximize` or `minimize`: the metric's own, else `monitor_direction`; None if unknown."""
    metric = find_metric(name)
    if metric is None or metric.higher_is_better is None:
        return monitor_direction
    return "maximize" if metric.higher_is_better else "minimize"


def search_direction(monitor: str, monitor_direction: str | None) -> str:
    """Default of `optuna.direction`: the direction of the monitored metric, else maximize."""
    return known_direction(monitor, monitor_direction) or "maximize"


def check_monitor(root: Node) -> None:
    """Check `monitor` and `monitor_direction`, by themselves and together."""
    name, direction = root["monitor"], root["monitor_direction"]
    require_choice(root, "monitor_direction", (*DIRECTIONS, None))
    require_number(name, "monitor", root)
    require_validation(name, "monitor", root)
    known = known_direction(name, direction)
    require(
        direction in (None, known),
        "monitor_direction",
        f"null or {known} with monitor={name}",
        direction,
        "It is only for metrics that pochitrain does not ship.",
    )


def require_number(name: Any, key: str, root: Node) -> None:
    """Check that `name` is a metric, or may be a column that a callback adds.

    Raises:
        ConfigError: with the choices.
    """
    custom = list(root["metrics"]["custom"])
    choices = [*METRICS, TOP_K_FORM, *custom, *TRAINING]
    text = f"{key} must be one of {', '.join(choices)}, got {name!r}."
    if name in custom:
        return
    if find_metric(str(name)) is not None:
        of_average = str(name).startswith(AVERAGED)
        ok = not of_average or root["ema_decay"] is not None
        require(ok, key, "a metric of this run", name, "Averaged weights need ema_decay=0.999.")
        return
    hint = did_you_mean(name, [*METRICS, *custom, *TRAINING])
    if not root["callbacks"]:
        raise ConfigError(f"{text}{hint}")
    if root["monitor_direction"] is None:
        raise ConfigError(
            f"{text}{hint} If a callback adds it, set monitor_direction=maximize or minimize."
        )


def require_validation(name: str, key: str, root: Node) -> None:
    """Refuse a validation metric without validation images; the default becomes train_loss."""
    of_validation = name.startswith(("val_", AVERAGED))
    ok = has_validation(root) or not of_validation or name == DEFAULT
    remedy = "Set data.val_root or data.val_fraction."
    require(ok, key, f"one of {', '.join(TRAINING)} without validation pictures", name, remedy)


def require_names(names: Iterable[Any], key: str, custom: Iterable[str]) -> None:
    """Check that each of `names` is a validation metric.

    Raises:
        ConfigError: with the choices.
    """
    choices = [*METRICS, *custom]
    for name in names:
        metric = find_metric(str(name))
        if name in choices or (metric is not None and metric.top_k is not None):
            continue
        raise ConfigError(
            f"{key} must hold names of metrics, got {name!r}.{did_you_mean(name, choices)} "
            f"Choices: {', '.join([*METRICS, TOP_K_FORM, *custom])}."
        )
