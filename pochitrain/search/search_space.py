"""The search space: conversion of the guide's form to sweeps that Hydra's Optuna plugin reads.

    learning_rate: {type: float, low: 1e-5, high: 1e-1, log: true}
    ->  learning_rate=tag(log, interval(1e-05, 0.1))

The plugin builds the distributions. In the study, a parameter has the name that the user wrote;
`Parameter.override` converts a value of it to the override of a job.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pochitrain.error import ConfigError, require
from pochitrain.text import did_you_mean, quote_override

SCHEDULER_PREFIX = "scheduler_"
NO_HYPERPARAMETERS = (
    "allow_targets",
    "checkpoint.*",
    "confusion_matrix.*",
    "cudnn_benchmark",
    "data.cache",
    "data.cache_gb",
    "data.fold",
    "data.group_by",
    "data.infer_pin_memory",
    "data.non_blocking",
    "data.num_folds",
    "data.num_workers",
    "data.on_error",
    "data.pin_memory",
    "data.seed",
    "data.split_by_time",
    "data.split_column",
    "data.test_fraction",
    "data.test_root",
    "data.val_fraction",
    "data.val_root",
    "data.val_shards",
    "data.verify",
    "device",
    "fault.*",
    "gradient_tracking.*",
    "hydra.*",
    "layer_wise_lr.graph_config.*",
    "metrics.*",
    "monitor",
    "monitor_direction",
    "optuna.*",
    "resume",
    "work_dir",
)
"""Keys that do not change what a trial learns, or that define how trials are compared."""


@dataclass
class Parameter:
    """One dimension of the search."""

    name: str
    """Its name in the study and in the result files, as the user wrote it."""
    key: str
    """The key that a job overrides: a dotted config key or a config group."""
    sweep: str
    """The override with a Hydra sweep, under `name`."""
    choices: list[Any] = field(default_factory=list)
    """Choices of a categorical parameter, as the user wrote them."""
    values: list[Any] = field(default_factory=list)
    """The same choices as stored in the study (text unless str, int, float or bool)."""

    def index(self, value: Any) -> int | None:
        """Position of `value` (of the study) among the choices; 1, 1.0 and True are different."""
        kinds = [(type(item), item) for item in self.values]
        return kinds.index((type(value), value)) if (type(value), value) in kinds else None

    def written(self, value: Any) -> Any:
        """`value` (of the study) as the user wrote it."""
        index = self.index(value)
        return value if index is None else self.choices[index]

    def override(self, value: Any) -> str:
        """The override of a job for `value` (of the study)."""
        return f"{self.key}={value}"


@dataclass
class GroupParameter(Parameter):
    """A choice between options of a config group (`optimizer: [SGD, Adam]`)."""

    options: list[str] = field(default_factory=list)

    def override(self, value: Any) -> str:
        index = self.index(value)
        return f"{self.key}={value if index is None else self.options[index]}"


def read_space(
    space: Mapping[str, Any], config: DictConfig, options: Callable[[str], list[str]]
) -> list[Parameter]:
    """Convert the entries of `optuna.search_space`, which `config.optuna` has checked.

    Args:
        config: the composed config of the search, with its `hydra` node.
        options: returns the options of a config group, or an empty list if there is no such group.

    Raises:
        ConfigError: for an unknown key, or a choice that is not an option of its group.
    """
    aliases = OmegaConf.select(config, "hydra.aliases") or {}
    found: dict[str, Parameter] = {}
    for name, entry in space.items():
        parameter = read_entry(str(name), entry, config, aliases, options)
        require_hyperparameter(parameter.key, f"optuna.search_space.{name}")
        other = found.setdefault(parameter.key, parameter)
        if other is not parameter:
            raise ConfigError(
                f"optuna.search_space must have one entry for {parameter.key}, "
                f"got {other.name} and {parameter.name}."
            )
    return list(found.values())


def read_entry(
    name: str,
    entry: Mapping[str, Any],
    config: DictConfig,
    aliases: Mapping[str, str],
    options: Callable[[str], list[str]],
) -> Parameter:
    """Convert one entry; see `read_space`.

    Raises:
        ConfigError: for an unknown key, or a choice that is not an option of its group.
    """
    key = find_key(name, aliases)
    entry = {field: value for field, value in entry.items() if value is not None}
    if entry["type"] != "categorical":
        require_key(name, key, config)
        return Parameter(name, key, f"{name}={format_range(entry)}")
    choices = list(entry["choices"])
    texts = [format_value(choice) for choice in choices]
    # Not choice(...), which refuses null; but a single value without it is not a sweep.
    sweep = f"{name}={','.join(texts)}" if len(texts) > 1 else f"{name}=choice({texts[0]})"
    group = options(key.replace(".", "/"))
    if not group:
        require_key(name, key, config)
        return Parameter(name, key, sweep, choices)
    chosen = [find_option(name, choice, group) for choice in choices]
    require(
        len(set(chosen)) == len(chosen),
        f"optuna.search_space.{name}.choices",
        "different options",
        choices,
    )
    return GroupParameter(name, key, sweep, choices, options=chosen)


def find_key(name: str, aliases: Mapping[str, str]) -> str:
    """The config key of an entry: `scheduler_gamma` is `scheduler.gamma`; aliases are resolved."""
    if name in aliases:
        return str(aliases[name])
    if name.startswith(SCHEDULER_PREFIX):
        return f"scheduler.{name.removeprefix(SCHEDULER_PREFIX)}"
    return name


def require_hyperparameter(key: str, shown: str) -> None:
    """Refuse to search a key that does not change what a trial learns.

    Args:
        shown: where it was given, for the message.
    """
    for pattern in NO_HYPERPARAMETERS:
        if fnmatchcase(key, pattern) or key == pattern.removesuffix(".*"):
            raise ConfigError(
                f"{shown} must be a hyper-parameter, got {key!r}, which does not change what a "
                f"trial learns, or by what it is judged. Give it one value: {key}=..."
            )


def require_key(name: str, key: str, config: DictConfig) -> None:
    """Check that `key` is in the config, or may be with another option of its group.

    Keys inside groups are checked by composing; here only the first part must exist.
    """
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    known = {str(word): value for word, value in plain.items() if word != "hydra"}
    head, *rest = key.split(".")
    if head in known and (rest or not isinstance(known[head], dict)):
        return
    hint = did_you_mean(key, list(leaf_keys(known)), cutoff=0.5)
    raise ConfigError(
        f"optuna.search_space.{name} must name a key of the config, got {key!r}.{hint}"
    )


def leaf_keys(node: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted keys of all values in a tree."""
    for name, child in node.items():
        if isinstance(child, Mapping):
            yield from leaf_keys(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def find_option(name: str, choice: Any, group: list[str]) -> str:
    """The option of a group for a name of the guide: SGD -> sgd, None -> none.

    Raises:
        ConfigError: if `group`, the list of options, has none of that name.
    """
    word = "none" if choice is None else str(choice)
    for option in (word, word.lower()):
        if option in group:
            return option
    raise ConfigError(
        f"optuna.search_space.{name}.choices must be options of the group "
        f"({', '.join(group)}), got {choice!r}."
    )


def format_range(entry: Mapping[str, Any]) -> str:
    """A range as a Hydra sweep. Floats keep their decimal point, or they would become integers."""
    low, high, step = entry["low"], entry["high"], entry.get("step")
    if entry["type"] == "float":
        low, high = float(low), float(high)
        step = None if step is None else float(step)
    if entry["type"] == "int":
        # interval(5, 30) converts its ends to floats, so integers are cast back, or use a range.
        if entry.get("log"):
            return f"tag(log, int(interval({low}, {high})))"
        return f"range({low}, {high + 1}, {step or 1})"  # Hydra's ranges end before `stop`
    if step is None:
        interval = f"interval({low!r}, {high!r})"
        return f"tag(log, {interval})" if entry.get("log") else interval
    # Half a step beyond `high` includes it.
    stop = Decimal(repr(high)) + Decimal(repr(step)) / 2
    return f"range({low!r}, {float(stop)!r}, {step!r})"


def format_value(value: Any) -> str:
    """`value` as text that Hydra's override grammar reads back as the same value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(format_value, value))}]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{format_value(item)}" for key, item in value.items()) + "}"
    return quote_override(str(value))
