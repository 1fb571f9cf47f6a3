"""Writes a composed config as a Python file in the guide's style.

A setting that the guide has a name for is written under that name. Everything else goes into
`overrides`: group -> option, dotted key -> value or group -> whole node. To find out what must go
there, the settings are read back with translate.py, so that reading the file loses nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any

from omegaconf import OmegaConf

from pochitrain.error import ConfigError
from pochitrain.legacy.code import PythonCode, Variable
from pochitrain.legacy.composition import Tree, compose_option, default_options, list_shipped
from pochitrain.legacy.option import DICTIONARIES, MODELS, OPTIMIZERS, ROWS, SCHEDULERS
from pochitrain.legacy.selection import (
    Option,
    Selection,
    select_from_tree,
    vary,
    without_command_keys,
)
from pochitrain.legacy.translate import translate_settings
from pochitrain.text import escape_interpolations

Settings = dict[str, Any]
"""Name in the file -> value."""

ALWAYS = ("epochs", "learning_rate", "batch_size", "mean", "std", "work_dir", "device")
"""Settings of the root that are written even if they have their default."""

SECTIONS = {
    "Model": ("model",),
    "Data": ("data",),
    "Training": ("", "optimizer"),
    "Learning rate schedule": ("scheduler",),
    "Loss": ("loss",),
    "Everything else": (),
    "Transforms": ("transform",),
}
"""Title -> groups. "" is the root; the empty tuple means all groups not listed elsewhere."""

NAMED = ("model", "data", "optimizer", "scheduler", "loss")
"""Groups whose options have names in the guide. For the others, their values are written."""


def python_source(
    plain: Mapping[str, Any], note: str = "", choices: Mapping[str, str] | None = None
) -> str:
    """The text of the Python file."""
    plain = without_command_keys(plain)
    tree = Tree(plain)
    selection = select_from_tree(tree, choices)
    code = PythonCode({"mean": plain["mean"], "std": plain["std"]})
    parts: dict[str, Settings] = {"": root_settings(plain, selection)}
    overrides: Settings = {}
    for group, option in selection.options.items():
        parts[group], rest = split(group, relative_to_default(group, option, tree), tree)
        overrides |= rest
    # In front of the transforms, which use them.
    parts["transform"] = {"mean": plain["mean"], "std": plain["std"], **parts["transform"]}
    overrides |= {
        key: value for key, value in selection.root.items() if key not in written_at_root()
    }
    body = "".join(section(code, title, parts, names) for title, names in SECTIONS.items())
    if overrides:
        text = "Settings without a name of their own in this file: dotted key or group -> value"
        body += f"\n# {text}\noverrides = {PythonCode(literal=True).render(overrides)}\n"
    imports = "".join(f"{line}\n" for line in sorted(code.imports))
    literal = note.replace("\\", "\\\\").replace(
        '"', '\\"'
    )  # the note may contain names from the user
    head = "\n".join(["pochitrain config.", *(["", literal] if note else [])])
    return f'"""{head}\n"""\n' + (f"\n{imports}" if imports else "") + body


def section(
    code: PythonCode, title: str, parts: Mapping[str, Settings], groups: tuple[str, ...]
) -> str:
    """The text of a section with its title; empty without settings."""
    named = {group for each in SECTIONS.values() for group in each}
    groups = groups or tuple(group for group in parts if group not in named)
    settings = {name: value for group in groups for name, value in parts.get(group, {}).items()}
    lines = [f"{name} = {render(code, name, value)}\n" for name, value in settings.items()]
    return f"\n# {title}\n{''.join(lines)}" if lines else ""


def render(code: PythonCode, name: str, value: Any) -> str:
    """`value` as an expression; transforms become a v2.Compose."""
    if name not in ("train_transform", "val_transform"):
        return code.render(value)
    code.imports.add("from torchvision.transforms import v2")
    return f"v2.Compose({code.render(value)})"


def written_at_root() -> set[str]:
    """Names of the settings of the root."""
    return {row.name for row in ROWS if not row.group}


def root_settings(plain: Mapping[str, Any], selection: Selection) -> Settings:
    """The settings of the root to write: ALWAYS, and those that differ from their default."""
    wanted = {*ALWAYS, *selection.root} - {"mean", "std"}  # these are written with the transforms
    return {
        row.name: plain[row.name]
        for row in ROWS
        if not row.group and row.name in wanted and row.name in plain
    }


def relative_to_default(group: str, option: Option, tree: Tree) -> Option:
    """`option` as values on top of the default option, if the guide has no name for options.

    Examples are the rates of layer_wise_lr=resnet and the steps of transform=augment.
    """
    if group in NAMED or option.base not in list_shipped(group):
        return option
    return vary(default_options()[group], group, tree) or option


def split(group: str, option: Option, tree: Tree) -> tuple[Settings, Settings]:
    """(settings under names of the guide, entries of `overrides`) of a group."""
    named = guide_settings(group, option, tree.plain)
    for settings in (named, {}):
        rest = find_overrides(group, option, settings, tree)
        if rest is not None:
            return settings, rest
    node = dict(tree.plain[group])
    if group == "optimizer" and node.get("lr") == tree.plain["learning_rate"]:
        node["lr"] = Variable("learning_rate")
    return {}, {group: node}


def find_overrides(group: str, option: Option, settings: Settings, tree: Tree) -> Settings | None:
    """The `overrides` that a file with `settings` needs; None if dotted keys are not enough."""
    if option.base is None or any("." in str(key) for key in option.values):
        return None
    try:
        read = read_back(group, settings)
    except ConfigError:  # a value of a type that the guide does not have
        return None
    wanted = escape_interpolations(option.values)
    rest = {key: value for key, value in wanted.items() if read.values.get(key, ...) != value}
    tries = [(read.base, {}), (read.base, rest), (option.base, rest)]
    for base, more in tries if option.base in list_shipped(group) else tries[-1:]:
        node = compose_option(group, str(base))
        if node is not None and tree.is_made_of(group, node, {**read.values, **more}):
            named = {} if base == read.base else {group: base}
            return named | {f"{group}.{key}": option.values[key] for key in more}
    return None


def read_back(group: str, settings: Settings) -> Option:
    """The option of a group that a file with `settings` is translated to.

    Raises:
        ConfigError: if a setting is not valid in a file.
    """
    default = default_options()[group]
    if group == "transform":
        return Option(
            default,
            {split_of(name): escape_interpolations(value) for name, value in settings.items()},
        )
    return translate_settings(settings).options.get(group) or Option(default)


def guide_settings(group: str, option: Option, plain: Mapping[str, Any]) -> Settings:
    """The settings of a group under names of the guide; empty for an option without names."""
    if option.base not in list_shipped(group):
        return {}
    find = FINDERS.get(group)
    return table_settings(group, option) if find is None else find(option, plain[group])


def model_settings(option: Option, node: Mapping[str, Any]) -> Settings:
    """The settings of the model; empty for an option without a name in the guide."""
    if option.base not in (*MODELS, "torchvision"):
        return {}
    settings = {"model_name": node["name"], "pretrained": node["pretrained"]}
    if node["num_classes"] is not None:
        settings["num_classes"] = node["num_classes"]
    return settings


def optimizer_settings(option: Option, node: Mapping[str, Any]) -> Settings:
    """The setting `optimizer`; empty for an option without a name in the guide."""
    names = [name for name, base in OPTIMIZERS.items() if base == option.base]
    return {"optimizer": names[0]} if names else {}


def scheduler_settings(option: Option, node: Mapping[str, Any]) -> Settings:
    """The settings of the scheduler; empty for an option without a name in the guide."""
    if option.base == "none":
        return {"scheduler": None, "scheduler_params": None}
    for name, base in SCHEDULERS.items():
        if base == option.base:
            return {"scheduler": name, "scheduler_params": scheduler_params(option, node)}
    return {}


def scheduler_params(option: Option, node: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters, so that users can change them, except those that are interpolations.

    T_max is left out as long as it is `${epochs}`, so that it keeps following the epochs.
    """
    base = compose_option("scheduler", str(option.base))
    assert base is not None
    return {
        key: value
        for key, value in node.items()
        if not key.startswith("_")
        and (key in option.values or not OmegaConf.is_interpolation(base, key))
    }


def loss_settings(option: Option, node: Mapping[str, Any]) -> Settings:
    """The setting `class_weights`; empty for an option without a name in the guide."""
    known = option.base in ("balanced", "uniform", "manual")
    return {"class_weights": node["class_weights"]} if known else {}


def transform_settings(option: Option, node: Mapping[str, Any]) -> Settings:
    """The settings of the transforms that are not empty."""
    return {f"{split}_transform": node[split] for split in ("train", "val") if node.get(split)}


def split_of(name: str) -> str:
    """The split of a transform setting: `train_transform` is for `train`."""
    return name.removesuffix("_transform")


def table_settings(group: str, option: Option) -> Settings:
    """The settings of a group in ROWS and DICTIONARIES that differ from its option."""
    changed = option.values
    settings: Settings = {
        row.name: changed[row.field] for row in ROWS if row.group == group and row.field in changed
    }
    for name, (place, _, entries) in DICTIONARIES.items():
        found = {entry: changed[entry] for entry in entries if entry in changed}
        if place == group and found:
            settings[name] = found
    return settings


FINDERS: dict[str, Callable[[Option, Mapping[str, Any]], Settings]] = {
    "model": model_settings,
    "optimizer": optimizer_settings,
    "scheduler": scheduler_settings,
    "loss": loss_settings,
    "transform": transform_settings,
}
"""Group -> function that finds its settings, for groups that a table cannot describe."""
