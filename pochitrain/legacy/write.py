"""Writes a config as a Python file in the guide's style, or as a Hydra experiment in YAML.

    write_python_config(plain_config, path, note="", choices=None)      -> optimized_config.py
    write_yaml_experiment(plain_config, path, note="", choices=None)    -> optimized.yaml
    write_selection(selection, path, note="")               a legacy file -> YAML (pochi migrate)

`plain_config` is what `pochitrain.config.root.to_plain(cfg)` returns: the composed config as plain
values, interpolations resolved, without the `hydra` node. Both files compose to the same config,
except for keys of one command (`resume`, `allow_targets`) and `optuna.enabled`, which is false.
`choices` (hydra.runtime.choices) are the options from which the config was composed. They are
written by name, including the user's own, which need the same `--config-dir` again. A node that
cannot be expressed as an option with changed values is written whole.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from pochitrain.atomic import write_text
from pochitrain.legacy.python_file import python_source
from pochitrain.legacy.selection import Option, Selection, select_from_plain
from pochitrain.legacy.value import follow_learning_rate
from pochitrain.text import escape_interpolations


def write_python_config(
    plain_config: Mapping[str, Any],
    path: str | Path,
    note: str = "",
    choices: Mapping[str, str] | None = None,
) -> None:
    """Write `plain_config` as a Python config, which `--config` reads back as the same tree.

    Args:
        note: text at the top of the file, after "pochitrain config".
    """
    write_text(path, python_source(plain_config, note, choices))


def write_yaml_experiment(
    plain_config: Mapping[str, Any],
    path: str | Path,
    note: str = "",
    choices: Mapping[str, str] | None = None,
) -> None:
    """Write `plain_config` as an option of group `experiment`, without values that are defaults."""
    selection = select_from_plain(plain_config, choices)
    options = {}
    for group, option in selection.options.items():
        values = escape_interpolations(option.values)
        for name in ("mean", "std"):
            link(values, name, plain_config[name])
        if group == "optimizer" and option.base is None:
            follow_learning_rate(values, plain_config["learning_rate"])
        options[group] = Option(option.base, values)
    write_selection(Selection(escape_interpolations(selection.root), options), path, note)


def link(node: Any, name: str, value: object) -> None:
    """In `_target_` nodes, replace arguments `name` that equal `value` by `${name}`."""
    entries = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for entry in entries:
        link(entry, name, value)
    if isinstance(node, dict) and "_target_" in node and node.get(name) == value:
        node[name] = f"${{{name}}}"


def write_selection(selection: Selection, path: str | Path, note: str = "") -> None:
    """Write `selection` as an option of group `experiment`.

    `override /group: null` leaves a group without an option, for a node that is written whole.
    """
    chosen = [{f"override /{group}": option.base} for group, option in selection.options.items()]
    values = {group: option.values for group, option in selection.options.items() if option.values}
    text = OmegaConf.to_yaml(
        OmegaConf.create({"defaults": [*chosen, "_self_"], **selection.root, **values})
    )
    comment = "".join(f"# {line}\n" for line in note.splitlines())
    write_text(path, f"# @package _global_\n{comment}{text}")
