"""Keys `monitor` and `monitor_direction`: which number decides what is better."""

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
    """The number that decides about the best epoch of the run with this config.

    `monitor`, where it is set. At its default the guide's keys count: `optuna.direction` in a
    search, whose trials must be comparable, else `early_stopping.monitor`; and without validation
    images it is the training loss.

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
    """`maximize` or `minimize`; None for a number that nobody has said it of."""
    metric = find_metric(name)
    if metric is None or metric.higher_is_better is None:
        return monitor_direction
    return "maximize" if metric.higher_is_better else "minimize"


def search_direction(monitor: str, monitor_direction: str | None) -> str:
    """Default of `optuna.direction`, by which a search optimises what is monitored."""
    return known_direction(monitor, monitor_direction) or "maximize"


def check_monitor(root: Node) -> None:
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
        "It is only for numbers that are no metric of pochitrain.",
    )


def require_number(name: Any, key: str, root: Node) -> None:
    """`name` is a metric, or may be a column that a callback will add.

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
            f"{text}{hint} If a callback adds it, say monitor_direction=maximize or minimize."
        )


def require_validation(name: str, key: str, root: Node) -> None:
    """A metric of validation is not watched where there is none; the default steps back."""
    of_validation = name.startswith(("val_", AVERAGED))
    ok = has_validation(root) or not of_validation or name == DEFAULT
    remedy = "Set data.val_root or data.val_fraction."
    require(ok, key, f"one of {', '.join(TRAINING)} without validation pictures", name, remedy)


def require_names(names: Iterable[Any], key: str, custom: Iterable[str]) -> None:
    """Each of `names` is a metric of validation.

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
