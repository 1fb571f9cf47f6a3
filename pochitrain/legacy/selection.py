"""Which option each group has, and what differs from it: the common form of .py and .yaml."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from omegaconf import OmegaConf

from pochitrain.config.root import GROUPS, RootConfig
from pochitrain.legacy.option import PER_COMMAND
from pochitrain.paths import config_directory

OPTION_GROUPS = tuple(group for group in GROUPS if (config_directory() / group).is_dir())
"""Groups that are chosen by option; the others (checkpoint, fault) are nodes of the root."""


@dataclass
class Option:
    """A shipped option of a group and the values that differ from it."""

    base: str | None
    """Name of the option; None where `values` is the whole node."""
    values: dict[str, Any] = field(default_factory=dict)


@dataclass
class Selection:
    root: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Option] = field(default_factory=dict)


def select_from_plain(plain: Mapping[str, Any]) -> Selection:
    """The selection that composes to `plain`.

    Args:
        plain: a composed config as plain values, interpolations resolved.
    """
    default = OmegaConf.to_container(OmegaConf.structured(RootConfig))
    assert isinstance(default, dict)
    root = {}
    for item in fields(RootConfig):
        name = item.name
        if name in OPTION_GROUPS or name in PER_COMMAND or name not in plain:
            continue
        changed = differences(plain[name], default[name])
        if changed is not SAME:
            root[name] = changed
    options = {}
    for group in OPTION_GROUPS:
        node = plain.get(group)
        if isinstance(node, dict):
            node = {key: node[key] for key in node if f"{group}.{key}" not in PER_COMMAND}
            base = find_base(group, node)
            options[group] = (
                Option(None, node)
                if base is None
                else Option(base, changed_values(node, option_defaults(group, base, plain)))
            )
    return Selection(root, options)


class Same:
    """Marks a value that is the default."""


SAME = Same()


def differences(value: Any, default: Any) -> Any:
    """`value` without the entries that are as in `default`; SAME if nothing differs."""
    if isinstance(value, dict) and isinstance(default, dict) and set(default) <= set(value):
        found = {
            key: changed
            for key, entry in value.items()
            if (changed := differences(entry, default.get(key, SAME))) is not SAME
        }
        return found or SAME
    same = type(value) is type(default) and value == default
    return SAME if same else value


def changed_values(node: dict[str, Any], default: dict[str, Any]) -> dict[str, Any]:
    """Entries of `node` that are not as in `default`; entries that `node` lacks do not count."""
    found = {key: differences(value, default.get(key, SAME)) for key, value in node.items()}
    return {key: value for key, value in found.items() if value is not SAME}


def find_base(group: str, node: Mapping[str, Any]) -> str | None:
    """The shipped option that `node` is a variation of; None if it is not one of ours."""
    schemas, _ = GROUPS[group]
    for name, schema in schemas.items():
        known = {item.name: item.default for item in fields(schema)}
        if set(node) <= set(known) and node.get("_target_") == known.get("_target_"):
            return choose_option(group, name, node)
    return None


def choose_option(group: str, schema: str, node: Mapping[str, Any]) -> str:
    if group == "model":
        shipped = (config_directory() / "model" / f"{node['name']}.yaml").is_file()
        return str(node["name"]) if shipped else "torchvision"
    if group == "loss":
        if node["class_weights"] is not None:
            return "manual"
        return "balanced" if node["balance"] else "uniform"
    if group in ("data", "optimizer", "scheduler"):
        return schema
    return {"transform": "minimal", "layer_wise_lr": "none", "optuna": "none"}.get(group, "default")


def option_defaults(group: str, option: str, root: Mapping[str, Any]) -> dict[str, Any]:
    """The node of a shipped option as it stands in its YAML file, resolved under `root`."""
    written = OmegaConf.load(config_directory() / group / f"{option}.yaml")
    values = OmegaConf.to_container(written)
    assert isinstance(values, dict)
    schema_name = values.pop("defaults")[0].rpartition("/")[2].removesuffix("@_here_")
    schema = GROUPS[group][0][schema_name]
    whole = OmegaConf.create({key: entry for key, entry in root.items() if key not in GROUPS})
    whole[group] = OmegaConf.merge(OmegaConf.structured(schema), values)
    node = OmegaConf.to_container(whole[group], resolve=True)
    assert isinstance(node, dict)
    return {str(key): entry for key, entry in node.items()}
