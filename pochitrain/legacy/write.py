"""Writes a config as a Python file in the guide's style, or as a Hydra experiment in YAML.

    write_python_config(plain_config, path, note="")      best parameters -> optimized_config.py
    write_yaml_experiment(plain_config, path, note="")    best parameters -> optimized.yaml
    write_selection(selection, path, note="")             a legacy file -> YAML (pochi migrate)

`plain_config` is what `pochitrain.config.root.to_plain(cfg)` returns: the composed config as plain
values, interpolations resolved, without the `hydra` node. Both files compose to the same config
again, except for what belongs to one command (`resume`, `allow_targets`) and for `optuna.enabled`,
which training from a file never sets. `choices` (hydra.runtime.choices) lets the YAML name options
of the user's own, whose nodes no schema of ours describes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from pochitrain.atomic import write_text
from pochitrain.error import ConfigError
from pochitrain.legacy.code import PythonCode
from pochitrain.legacy.option import DICTIONARIES, OPTIMIZERS, ROWS, SCHEDULERS
from pochitrain.legacy.selection import (
    Option,
    Selection,
    option_defaults,
    select_from_plain,
)
from pochitrain.text import escape_interpolations

ALWAYS = ("epochs", "learning_rate", "batch_size", "mean", "std", "work_dir", "device")
"""Values of the root that are written even where they are the default."""


def write_python_config(plain_config: Mapping[str, Any], path: str | Path, note: str = "") -> None:
    """Write `plain_config` as a Python config that `--config` reads back to the same tree.

    Args:
        note: text at the top of the file, after "pochitrain config".
    """
    write_text(path, python_source(plain_config, note))


def write_yaml_experiment(
    plain_config: Mapping[str, Any],
    path: str | Path,
    note: str = "",
    choices: Mapping[str, str] | None = None,
) -> None:
    """Write `plain_config` as an option of group `experiment`, only what differs from defaults.

    Raises:
        ConfigError: if a group's node is none of ours and `choices` does not name its option.
    """
    selection = select_from_plain(plain_config)
    for group, option in selection.options.items():
        choice = (choices or {}).get(group)
        if option.base is None and choice is not None:
            selection.options[group] = Option(choice)
    selection.root = escape_interpolations(selection.root)
    for option in selection.options.values():
        option.values = escape_interpolations(option.values)
    for name in ("mean", "std"):
        link(selection.options["transform"].values, name, plain_config[name])
    write_selection(selection, path, note)


def link(node: Any, name: str, value: object) -> None:
    """Replace arguments called `name` with that value by an interpolation of the root key."""
    entries = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for entry in entries:
        link(entry, name, value)
    if isinstance(node, dict) and "_target_" in node and node.get(name) == value:
        node[name] = f"${{{name}}}"


def write_selection(selection: Selection, path: str | Path, note: str = "") -> None:
    """Write `selection` as an option of group `experiment`.

    Raises:
        ConfigError: if a group has a node that is no variation of a shipped option.
    """
    defaults: list[Any] = []
    values: dict[str, Any] = dict(selection.root)
    for group, option in selection.options.items():
        if option.base is None:
            raise ConfigError(
                f"{group} cannot be written into an experiment: its node is no variation of a "
                f"shipped option. Save it as conf/{group}/<name>.yaml and choose {group}=<name>."
            )
        defaults.append({f"override /{group}": option.base})
        if option.values:
            values[group] = option.values
    comment = "".join(f"# {line}\n" for line in note.splitlines())
    text = OmegaConf.to_yaml(OmegaConf.create({"defaults": [*defaults, "_self_"], **values}))
    write_text(path, f"# @package _global_\n{comment}{text}")


def python_source(plain: Mapping[str, Any], note: str = "") -> str:
    """The text of the Python file."""
    selection = select_from_plain(plain)
    code = PythonCode({"mean": plain["mean"], "std": plain["std"]})
    leftover: dict[str, Any] = {}
    sections = [
        ("Model", model_values(plain, selection, leftover)),
        ("Data", data_values(selection, leftover)),
        ("Training", training_values(plain, selection, leftover)),
        ("Learning rate schedule", scheduler_values(plain, selection, leftover)),
        ("Loss", loss_values(selection, leftover)),
        ("Everything else", other_values(plain, selection, leftover)),
        ("Transforms", transform_values(plain, selection, code, leftover)),
    ]
    leftover.update(
        {key: value for key, value in selection.root.items() if key not in written_at_root()}
    )
    if leftover:
        text = "Settings without a name of their own in this file: dotted key or group -> value"
        sections.append((text, {"overrides": leftover}))
    body = "".join(section(code, title, values) for title, values in sections if values)
    imports = "".join(f"{line}\n" for line in sorted(code.imports))
    literal = note.replace("\\", "\\\\").replace('"', '\\"')  # it may quote a name of the person's
    head = "\n".join(["pochitrain config.", *(["", literal] if note else [])])
    return f'"""{head}\n"""\n' + (f"\n{imports}" if imports else "") + body


def section(code: PythonCode, title: str, values: dict[str, Any]) -> str:
    lines = [
        f"{name} = {value if isinstance(value, Expression) else code.render(value)}\n"
        for name, value in values.items()
    ]
    return f"\n# {title}\n{''.join(lines)}"


class Expression(str):
    """Python code, written as it is."""


def written_at_root() -> set[str]:
    return {row.name for row in ROWS if not row.group}


def model_values(
    plain: Mapping[str, Any], selection: Selection, leftover: dict[str, Any]
) -> dict[str, Any]:
    option = selection.options["model"]
    if option.base is None:
        leftover["model"] = option.values
        return {}
    node = plain["model"]
    values = {"model_name": node["name"], "pretrained": node["pretrained"]}
    if node["num_classes"] is not None:
        values["num_classes"] = node["num_classes"]
    keep_rest("model", option.values, {"name", "pretrained", "num_classes"}, leftover)
    return values


def data_values(selection: Selection, leftover: dict[str, Any]) -> dict[str, Any]:
    option = selection.options["data"]
    if option.base is None:
        leftover["data"] = option.values
        return {}
    if option.base != "folder":
        leftover["data"] = option.base
    rows = {row.field: row.name for row in ROWS if row.group == "data"}
    keep_rest("data", option.values, set(rows), leftover)
    return {rows[key]: value for key, value in option.values.items() if key in rows}


def training_values(
    plain: Mapping[str, Any], selection: Selection, leftover: dict[str, Any]
) -> dict[str, Any]:
    names = [row.name for row in ROWS if not row.group and row.name not in ("mean", "std")]
    values = {
        name: plain[name] for name in names if name in plain and name in {*ALWAYS, *selection.root}
    }
    option = selection.options["optimizer"]
    if option.base is None:
        leftover["optimizer"] = option.values
        return values
    old = {new: name for name, new in OPTIMIZERS.items()}
    keep_rest("optimizer", option.values, set(), leftover)
    return {**values, "optimizer": old[option.base]}


def scheduler_values(
    plain: Mapping[str, Any], selection: Selection, leftover: dict[str, Any]
) -> dict[str, Any]:
    option = selection.options["scheduler"]
    if option.base is None:
        leftover["scheduler"] = option.values
        return {}
    old = {new: name for name, new in SCHEDULERS.items()}
    if option.base not in old:
        keep_rest("scheduler", option.values, set(), leftover)
        return {"scheduler": None, "scheduler_params": None}
    # T_max stays out while it follows the epochs, so that it goes on following them.
    default = option_defaults("scheduler", option.base, {**plain, "epochs": -1})
    params = {
        key: value
        for key, value in plain["scheduler"].items()
        if not key.startswith("_") and (key in option.values or default[key] == value)
    }
    return {"scheduler": old[option.base], "scheduler_params": params}


def loss_values(selection: Selection, leftover: dict[str, Any]) -> dict[str, Any]:
    option = selection.options["loss"]
    if option.base is None:
        leftover["loss"] = option.values
        return {}
    if option.base == "uniform":
        leftover["loss"] = "uniform"
    keep_rest("loss", option.values, {"class_weights"}, leftover)
    return {"class_weights": option.values.get("class_weights")}


def other_values(
    plain: Mapping[str, Any], selection: Selection, leftover: dict[str, Any]
) -> dict[str, Any]:
    """The groups that are switches and dictionaries in the file."""
    values: dict[str, Any] = {}
    for group in ("metrics", "layer_wise_lr", "gradient_tracking"):
        for row in ROWS:
            if row.group == group and row.field in selection.options[group].values:
                values[row.name] = selection.options[group].values[row.field]
    for name, (group, _, entries) in DICTIONARIES.items():
        if "." in group:
            continue
        changed = selection.options[group].values
        found = {entry: changed[entry] for entry in entries if entry in changed}
        if found:
            values[name] = found
        switches = {row.field for row in ROWS if row.group == group}
        keep_rest(group, changed, {*entries, *switches}, leftover)
    keep_rest("metrics", selection.options["metrics"].values, {"export", "tensorboard"}, leftover)
    return values


def transform_values(
    plain: Mapping[str, Any], selection: Selection, code: PythonCode, leftover: dict[str, Any]
) -> dict[str, Any]:
    values: dict[str, Any] = {"mean": plain["mean"], "std": plain["std"]}
    for split in ("train", "val"):
        steps = plain["transform"].get(split)
        if steps:
            code.imports.add("from torchvision.transforms import v2")
            rendered = code.render(list(steps))
            values[f"{split}_transform"] = Expression(f"v2.Compose({rendered})")
    keep_rest("transform", selection.options["transform"].values, {"train", "val"}, leftover)
    return values


def keep_rest(
    group: str, values: Mapping[str, Any], written: set[str], leftover: dict[str, Any]
) -> None:
    """What no old name can say goes into `overrides`."""
    for key, value in values.items():
        if key not in written:
            leftover[f"{group}.{key}"] = value
