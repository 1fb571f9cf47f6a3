"""Translates a Python config to options: a table row or a function per setting."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from pochitrain.config.root import RootConfig
from pochitrain.config.scheduler import SCHEMAS as SCHEDULER_SCHEMAS
from pochitrain.error import ConfigError
from pochitrain.legacy.composition import OPTION_GROUPS, default_options
from pochitrain.legacy.node import NodeWriter
from pochitrain.legacy.option import (
    DEFAULT_WORK_DIR,
    DICTIONARIES,
    FLAT_OPTUNA,
    MODELS,
    OPTIMIZERS,
    PER_COMMAND,
    ROWS,
    SCHEDULERS,
)
from pochitrain.legacy.read import PythonConfig
from pochitrain.legacy.selection import Option, Selection
from pochitrain.legacy.value import check_value, config_node, follow_learning_rate, plain_value
from pochitrain.text import did_you_mean


@dataclass
class Translation:
    """The result of `translate`."""

    selection: Selection
    warnings: list[str] = field(default_factory=list)
    """One line for each setting that has no effect."""
    references: list[tuple[str, str]] = field(default_factory=list)
    """(file, attribute) of objects that exist only in a file: lambdas, functions, classes."""


def translate(config: PythonConfig) -> Translation:
    """Translate an executed file.

    Raises:
        ConfigError: for an unknown choice or a wrong type. Ranges, and rules about several
            settings, are checked when the config is composed.
    """
    settings = {name: plain_setting(name, value) for name, value in config.settings.items()}
    refuse_flat_optuna(config)
    found = Translation(Selection())
    found.selection = translate_settings(settings, found.warnings)
    translate_transforms(config, settings, found)
    apply_overrides(config, settings, found)
    if "save_every" in settings:
        found.warnings.append(
            "save_every has no effect: models/best.pth and models/last.pth are kept up to date "
            "after every epoch. See checkpoint.every_epochs and checkpoint.keep_last."
        )
    return found


def translate_settings(settings: Mapping[str, Any], warnings: list[str] | None = None) -> Selection:
    """Translate all settings except transforms and overrides.

    Args:
        warnings: one line is added for each setting that has no effect.

    Raises:
        ConfigError: for an unknown choice or a wrong type.
    """
    selection = Selection({"work_dir": DEFAULT_WORK_DIR}, {"data": Option("folder")})
    translate_rows(settings, selection)
    translate_model(settings, selection.options)
    translate_optimizer(settings, selection.options)
    translate_scheduler(settings, selection.options, [] if warnings is None else warnings)
    translate_loss(settings, selection.options)
    translate_dictionaries(settings, selection.options)
    return selection


def option_of(options: dict[str, Option], group: str) -> Option:
    """The option of `group`; the default one is added if there is none yet."""
    return options.setdefault(group, Option(default_options()[group]))


def plain_setting(name: str, value: Any) -> Any:
    """A setting as plain values; transforms unchanged.

    Raises:
        ConfigError: for a list or dictionary that contains itself.
    """
    if name in ("train_transform", "val_transform"):
        return value
    try:
        return plain_value(value)
    except RecursionError:
        raise ConfigError(f"{name} must not contain itself.") from None


def translate_rows(settings: Mapping[str, Any], selection: Selection) -> None:
    """Add the settings of ROWS to the selection, with the types of their fields."""
    for row in ROWS:
        if row.name not in settings:
            continue
        value = check_value(settings[row.name], row.hint, row.name)
        if row.group:
            option_of(selection.options, row.group).values[row.field] = value
        else:
            selection.root[row.field] = value


def translate_model(settings: Mapping[str, Any], options: dict[str, Option]) -> None:
    """Add the option of group `model` for `model_name`."""
    if "model_name" not in settings:
        return
    name = check_value(settings["model_name"], str, "model_name")
    option = option_of(options, "model")
    option.base = name if name in MODELS else "torchvision"
    if name not in MODELS:
        option.values["name"] = name


def translate_optimizer(settings: Mapping[str, Any], options: dict[str, Option]) -> None:
    """Add the option of group `optimizer`."""
    if "optimizer" in settings:
        options["optimizer"] = Option(find_choice("optimizer", settings["optimizer"], OPTIMIZERS))


def find_choice(name: str, value: object, choices: Mapping[str, str], guide_text: str = "") -> str:
    """The option for a name of the guide, which may be in any case.

    Raises:
        ConfigError: starting with `guide_text`, if there is no such choice.
    """
    lower = {choice.lower(): option for choice, option in choices.items()}
    if isinstance(value, str) and value.lower() in lower:
        return lower[value.lower()]
    shown = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(str(value).lower(), shown, n=1)
    hint = f" Did you mean {shown[close[0]]}?" if close else ""
    start = f"{guide_text}{value}: " if guide_text else ""
    raise ConfigError(f"{start}{name} must be one of {', '.join(choices)}, got {value!r}.{hint}")


def translate_scheduler(
    settings: Mapping[str, Any], options: dict[str, Option], warnings: list[str]
) -> None:
    """Add the option of group `scheduler`; `none` if the file names none."""
    name, params = settings.get("scheduler"), settings.get("scheduler_params")
    if name is None:
        if params:
            warnings.append(f"scheduler_params={params!r} has no effect: scheduler is None.")
        options["scheduler"] = Option("none")  # the guide: without one, the rate is constant
        return
    option = find_choice("scheduler", name, SCHEDULERS, "サポートされていないスケジューラー: ")
    params = check_value(params or {}, dict[str, Any], "scheduler_params")
    if "verbose" in params:
        warnings.append("scheduler_params['verbose'] has no effect: torch has removed it.")
    params = {key: value for key, value in params.items() if key != "verbose"}
    if params.get("last_epoch") == -1:  # torch's own default
        del params["last_epoch"]
    hints = get_type_hints(SCHEDULER_SCHEMAS[option])
    values = check_entries("scheduler_params", params, hints, f" of {name}")
    options["scheduler"] = Option(option, values)


def translate_loss(settings: Mapping[str, Any], options: dict[str, Option]) -> None:
    """Add the option of group `loss`: `balanced` or, with class weights, `manual`."""
    if "class_weights" not in settings:
        return
    weights = settings["class_weights"]
    if weights is None:
        options["loss"] = Option("balanced")
        return
    values = check_value(weights, list[float], "class_weights")
    options["loss"] = Option("manual", {"class_weights": values})


def translate_dictionaries(settings: Mapping[str, Any], options: dict[str, Option]) -> None:
    """Add the settings of DICTIONARIES, with the types of their fields."""
    for name, (place, schema, allowed) in DICTIONARIES.items():
        outer, _, inner = name.partition(".")
        given = settings.get(outer)
        if inner and isinstance(given, dict):
            given = given.get(inner)
        if given is None:
            continue
        given = check_value(given, dict[str, Any], name)
        hints = {key: hint for key, hint in get_type_hints(schema).items() if key in allowed}
        values = check_entries(name, given, hints)
        group, _, part = place.partition(".")
        option = option_of(options, group)
        if part:
            option.values[part] = values
        else:
            option.values.update(values)


def check_entries(
    name: str, given: Mapping[str, Any], hints: Mapping[str, Any], owner: str = ""
) -> dict[str, Any]:
    """The entries of a dictionary of the file, converted to the types in `hints`.

    Args:
        owner: follows "is not a setting" in the message.

    Raises:
        ConfigError: for an unknown entry or one of a wrong type.
    """
    known = [key for key in hints if not key.startswith("_")]
    values = {}
    for key, value in given.items():
        if key not in known:
            hint = did_you_mean(key, known)
            raise ConfigError(
                f"{name}[{key!r}] is not a setting{owner}.{hint} Choices: {', '.join(known)}."
            )
        values[key] = check_value(value, hints[key], f"{name}[{key!r}]")
    return values


def translate_transforms(
    config: PythonConfig, settings: Mapping[str, Any], found: Translation
) -> None:
    """Translate train_transform, val_transform and image_size."""
    size = settings.get("image_size")
    given = [name for name in ("train_transform", "val_transform") if name in settings]
    if size is not None and not given:
        found.selection.options["transform"] = Option("imagenet", {"size": square(size)})
        return
    if size is not None and "image_size" not in config.used:
        found.warnings.append("image_size has no effect, because the file defines its transforms.")
    writer = NodeWriter(config.path, config.names, config.recorder)
    # If overrides choose an option, its steps are kept.
    chosen = "transform" in (settings.get("overrides") or {})
    values: dict[str, Any] = {} if chosen else {"train": None, "val": None}
    for name in given:
        if settings[name] is not None:
            values[name.removesuffix("_transform")] = writer.steps(settings[name], name)
    found.selection.options["transform"] = Option("minimal", values)
    found.references = writer.references


def square(size: Any) -> int:
    """The side length that `image_size` gives: an integer, or a list of two equal ones.

    Raises:
        ConfigError: for anything else.
    """
    if isinstance(size, list) and len(size) == 2 and size[0] == size[1]:
        size = size[0]
    if isinstance(size, list):
        raise ConfigError(
            f"image_size must be one integer (pixels), got {size!r}. For pictures that are not "
            "square write train_transform and val_transform."
        )
    return int(check_value(size, int, "image_size"))


def refuse_flat_optuna(config: PythonConfig) -> None:
    """Refuse search settings at the top level, which the guide abolished.

    Raises:
        ConfigError: with the nested form to paste.
    """
    flat = flat_optuna(config)
    if flat:
        raise ConfigError(
            f"{', '.join(flat)} in {config.shown} must be in optuna = {{...}}; flat keys were "
            "abolished in version 1.1. Write instead (or let `pochi migrate` convert the file):\n"
            f"{nested_optuna(config)}"
        )


def flat_optuna(config: PythonConfig) -> dict[str, Any]:
    """Search settings at the top level of the file, without helpers."""
    return {
        name: plain_value(config.names[name])
        for name in FLAT_OPTUNA
        if name in config.names and name not in config.helpers
    }


def nested_optuna(config: PythonConfig) -> str:
    """The text `optuna = {...}` with the flat settings included."""
    from pochitrain.legacy.code import PythonCode

    given = config.settings.get("optuna")
    whole = {**(given if isinstance(given, dict) else {}), **flat_optuna(config)}
    return f"optuna = {PythonCode().render(whole)}"


def apply_overrides(config: PythonConfig, settings: Mapping[str, Any], found: Translation) -> None:
    """Apply `overrides`, which holds everything that has no setting.

    `{"data": "digits"}` chooses an option, `{"optimizer": {"_target_": ...}}` is a whole node,
    `{"optimizer.momentum": 0.8}` sets a value. Their order does not matter.
    """
    given = check_value(settings.get("overrides") or {}, dict[str, Any], "overrides")
    writer = NodeWriter(config.path, config.names, config.recorder)
    options, root = found.selection.options, found.selection.root
    for key, raw in sorted(given.items(), key=lambda item: "." in item[0]):
        value = writer.node(config_node(raw), f"overrides[{key!r}]")
        group, _, rest = key.partition(".")
        if group not in OPTION_GROUPS:
            if group not in RootConfig.__dataclass_fields__ or group in PER_COMMAND:
                raise ConfigError(f"overrides[{key!r}] is not a key that a config file may set.")
            set_nested(root, key, value)
        elif rest:
            set_nested(option_of(options, group).values, rest, value)
        elif isinstance(value, str):
            before = options.get(group)
            options[group] = Option(value, before.values if before else {})
        elif isinstance(value, dict):
            options[group] = Option(None, value)
        else:
            raise ConfigError(
                f"overrides[{key!r}] must be the name of an option or a dictionary, got {value!r}."
            )
    optimizer = options.get("optimizer")
    if optimizer is not None and optimizer.base is None:
        rate = root.get("learning_rate", RootConfig.learning_rate)
        follow_learning_rate(optimizer.values, rate)
    found.references += writer.references


def set_nested(values: dict[str, Any], dotted: str, value: Any) -> None:
    """Set the value at a dotted key; missing dictionaries are made."""
    *parents, last = dotted.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
    values[last] = value
