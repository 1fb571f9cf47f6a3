"""Group `optuna`: the hyper-parameter search."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pochitrain.config.data import has_validation
from pochitrain.config.monitor import DIRECTIONS, known_direction, monitored_metric
from pochitrain.config.validators import Choice, Node, Range, Rule, check_fields, is_number
from pochitrain.error import ConfigError, require
from pochitrain.text import did_you_mean

SAMPLERS = (
    "TPESampler",
    "RandomSampler",
    "CmaEsSampler",
    "GridSampler",
    "GPSampler",
    "QMCSampler",
    "NSGAIISampler",
)
PRUNERS = (
    "MedianPruner",
    "PercentilePruner",
    "SuccessiveHalvingPruner",
    "HyperbandPruner",
    "NopPruner",
    None,
)
FIELDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "float": (("low", "high"), ("log", "step")),
    "int": (("low", "high"), ("log", "step")),
    "categorical": (("choices",), ()),
}
"""Type of a search space entry -> its mandatory and optional fields."""
AtLeastOne = Range(ge=1)
MAX_JOBS = 1000
"""Each is a process here or a job of a cluster; a typing mistake must not start millions."""
EXAMPLE = "{learning_rate: {type: float, low: 1e-5, high: 1e-1, log: true}}"


@dataclass
class OptunaConfig:
    """The search. The options of this group also select the sweeper that `--multirun` runs."""

    enabled: bool = False
    """Whether --multirun is a search; options other than none say so."""
    study_name: Annotated[str, Rule("a name", bool)] = "pochitrain_optimization"
    """Name of the study in the storage."""
    direction: Annotated[str, Choice(DIRECTIONS)] = (
        "${search_direction:${monitor},${monitor_direction}}"
    )
    """Default: the direction of `monitor`. With `monitor` at its default, maximize optimises
    val_accuracy and minimize optimises val_loss."""
    n_trials: Annotated[int, AtLeastOne] = 20
    """Total number of finished trials in the study, those of earlier runs included."""
    n_jobs: Annotated[int, AtLeastOne, Range(le=MAX_JOBS)] = 1
    """Number of trials that run at the same time."""
    optuna_epochs: Annotated[int, AtLeastOne] = 10
    """Number of epochs of a trial, in place of `epochs`."""
    sampler: Annotated[str, Choice(SAMPLERS)] = "TPESampler"
    """How the parameters of the next trial are chosen."""
    pruner: Annotated[str | None, Choice(PRUNERS)] = "MedianPruner"
    """Which trials are stopped early; null = none."""
    storage: str | None = None
    """null = in memory; sqlite:///file.db, journal://file.log, postgresql://user@host/database,
    grpc://host:port, or any SQLAlchemy URL."""
    search_space: dict[str, Any] | None = None
    """Key or group -> {type: float or int, low, high, log or step} or {type: categorical, choices};
    an entry of null is not searched."""
    custom_search_space: str | None = None
    """Dotted path of a function `f(cfg, trial)` that may suggest more (conditional) parameters."""
    max_failure_rate: Annotated[float, Range(ge=0, le=1)] = 0.5
    """Stop when more than this fraction of the trials of this command has failed."""
    repeats: Annotated[int, AtLeastOne] = 1
    """Trainings per trial, each with another seed; the value of the trial is their mean."""
    graphs: bool = False
    """Draw the graphs of every trial too; takes longer than a short epoch."""


def check_optuna(node: Node, root: Node) -> None:
    if not node.get("enabled"):
        return
    check_search(node)
    if not has_validation(root):
        raise ConfigError(
            "data.val_root must be given for a search, got null. A search compares validation "
            "results; data.val_fraction=0.2 takes them from the training pictures."
        )
    monitored = monitored_metric(root)
    known = known_direction(monitored, root["monitor_direction"])
    require(
        known in (None, node["direction"]),
        "optuna.direction",
        f"{known} with monitor={monitored}",
        node["direction"],
        "Leave it out to use the direction of the metric.",
    )


def check_search(node: Node) -> None:
    """Check the settings of the search that do not depend on other groups."""
    check_fields(OptunaConfig, node, "optuna.")
    for name, entry in (node.get("search_space") or {}).items():
        if entry is not None:
            check_entry(entry, f"optuna.search_space.{name}")


def check_entry(entry: Any, key: str) -> None:
    """Check one entry of the search space.

    Raises:
        ConfigError: for a wrong type, a missing or unknown field, or an empty range.
    """
    is_mapping = isinstance(entry, Mapping)
    require(is_mapping, key, "a mapping with type", entry, f"Example: {EXAMPLE}.")
    entry = {field: value for field, value in entry.items() if value is not None}
    kind = entry.get("type")
    nested = [f for f, value in entry.items() if isinstance(value, Mapping) and f != "choices"]
    if nested:
        name = f"{key.removeprefix('optuna.search_space.')}.{nested[0]}"
        raise ConfigError(
            f"{key} must not hold {nested[0]}. The dotted name {name} is one word in a file "
            f"({name}: {{type: ...}}); on the command line write {name}=interval(0.1,0.5)."
        )
    require(kind in FIELDS, f"{key}.type", "one of " + ", ".join(FIELDS), kind)
    mandatory, optional = FIELDS[kind]
    for field in mandatory:
        if field not in entry:
            raise ConfigError(f"{key}.{field} must be given for type {kind}, got nothing.")
    for field in entry:
        if field not in ("type", *mandatory, *optional):
            hint = did_you_mean(field, [*mandatory, *optional])
            hint = hint or f" Choices: {', '.join(mandatory)}"
            raise ConfigError(f"{key}.{field} is not a field of type {kind}.{hint}")
    if kind == "categorical":
        choices = entry["choices"]
        ok = isinstance(choices, (list, tuple)) and len(choices) > 0
        require(ok, f"{key}.choices", "a list with at least one value", choices)
        require(
            len({repr(choice) for choice in choices}) == len(choices),
            f"{key}.choices",
            "different values",
            choices,
        )
    else:
        check_range(entry, kind, key)


def check_range(entry: Node, kind: str, key: str) -> None:
    """Check an entry of type `kind` (float or int): low <= high, a step that fits, no log step."""
    low, high, step, log = (entry.get(field) for field in ("low", "high", "step", "log"))
    numbers = ("low", "high") if step is None else ("low", "high", "step")
    for field in numbers:
        value = entry[field]
        ok = is_number(value) and (kind == "float" or isinstance(value, int))
        require(ok, f"{key}.{field}", "an integer" if kind == "int" else "a number", value)
    require(low <= high, f"{key}.low", f"<= high ({high})", low)  # type: ignore[operator]
    require(log in (None, True, False), f"{key}.log", "true or false", log)
    if log:
        smallest = 1 if kind == "int" else 0
        ok = low >= 1 if kind == "int" else low > 0  # type: ignore[operator]
        rule = f"{'>=' if smallest else '>'} {smallest} when log is true"
        require(ok, f"{key}.low", rule, low)
        require(step is None, f"{key}.step", "null when log is true", step)
    if step is not None:
        require(step > 0, f"{key}.step", "> 0", step)
        span = high - low  # type: ignore[operator]
        require(step <= span, f"{key}.step", f"<= high - low ({span:g})", step)


SCHEMAS = {"optuna": OptunaConfig}
