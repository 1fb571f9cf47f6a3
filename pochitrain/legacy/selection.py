"""A config as an option per group and the values that differ: the form behind .py and .yaml."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pochitrain.config.root import RootConfig
from pochitrain.legacy.composition import (
    BY_VALUE,
    OPTION_GROUPS,
    Tree,
    compose_option,
    default_options,
    list_shipped,
)
from pochitrain.legacy.option import PER_COMMAND
from pochitrain.text import escape_interpolations

REGISTERED = ("legacy", "legacy_search")
"""Options that exist only while a command with `--config` runs (register.py): not written."""

SWITCHED = {"optuna": {"enabled": False}}
"""Values in every saved config: it trains, since a search is started by a command."""


@dataclass
class Option:
    """An option of a group and the values that differ from it."""

    base: str | None
    """Name of the option; None where `values` is the whole node."""
    values: dict[str, Any] = field(default_factory=dict)


@dataclass
class Selection:
    """A config as values of the root and an option per group.

    Attributes:
        root: keys outside the groups -> values that differ from the defaults.
        options: group -> its option.
    """

    root: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Option] = field(default_factory=dict)


def select_from_plain(
    plain: Mapping[str, Any], choices: Mapping[str, str] | None = None
) -> Selection:
    """The selection that composes to `plain`.

    A group keeps the option that was chosen, if that exists and gives the node with some values
    changed. Otherwise it gets the shipped option with the shortest list of changes or, if none has
    the same `_target_` and keys, the whole node.

    Args:
        plain: a composed config as plain values, interpolations resolved.
        choices: the option of each group (hydra.runtime.choices).
    """
    return select_from_tree(Tree(without_command_keys(plain)), choices)


def select_from_tree(tree: Tree, choices: Mapping[str, str] | None = None) -> Selection:
    """As `select_from_plain`, for a tree without the keys of one command."""
    options = {}
    for group in OPTION_GROUPS:
        if isinstance(tree.plain.get(group), dict):
            chosen = choose(group, choices or {})
            found = None if chosen is None else vary(chosen, group, tree)
            options[group] = found or find_closest(group, tree)
    return Selection(find_root(tree.plain), options)


def without_command_keys(plain: Mapping[str, Any]) -> dict[str, Any]:
    """`plain` without what belongs to one command."""
    kept = {key: value for key, value in plain.items() if key not in PER_COMMAND}
    for group, values in SWITCHED.items():
        if isinstance(kept.get(group), dict):
            kept[group] = {**kept[group], **values}
    return kept


def find_root(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the root that differ from their defaults."""
    default: Any = OmegaConf.to_container(OmegaConf.structured(RootConfig))
    keys = [key for key in plain if key not in OPTION_GROUPS]
    return changed_values({key: plain[key] for key in keys}, default)


def choose(group: str, choices: Mapping[str, str]) -> str | None:
    """The option that the run chose; None if it is unknown or cannot be written by name."""
    if group in BY_VALUE:
        return default_options()[group]
    name = choices.get(group)
    return None if name in REGISTERED else name


def find_closest(group: str, tree: Tree) -> Option:
    """The shipped option with the shortest list of changes; the whole node if there is none."""
    found = []
    for name in list_shipped(group):
        option = differ(name, group, tree)
        if option is None or "_target_" in option.values:
            continue
        if not option.values and makes_node(option, group, tree):
            return option  # no list is shorter
        found.append(option)
    found.sort(key=lambda option: len(repr(option.values)))
    whole = Option(None, dict(tree.plain[group]))
    return next((option for option in found if makes_node(option, group, tree)), whole)


def vary(name: str, group: str, tree: Tree) -> Option | None:
    """Option `name` with the values that make it the node of `group`; None if none do."""
    option = differ(name, group, tree)
    return option if option is not None and makes_node(option, group, tree) else None


def differ(name: str, group: str, tree: Tree) -> Option | None:
    """Option `name` with the values of the node of `group` that differ from it.

    None if it cannot be composed or resolved here.
    """
    base = compose_option(group, name)
    if base is None:
        return None
    try:
        return Option(name, changed_values(tree.plain[group], tree.resolve(group, base)))
    except OmegaConfBaseException:
        return None


def makes_node(option: Option, group: str, tree: Tree) -> bool:
    """Whether `option` composes to the node of `group`."""
    base = compose_option(group, str(option.base))
    return base is not None and tree.is_made_of(group, base, escape_interpolations(option.values))


class Same:
    """Marks a value that is the default."""


SAME = Same()


def differences(value: Any, default: Any) -> Any:
    """`value` without the entries that equal those of `default`; SAME if nothing differs."""
    if isinstance(value, dict) and isinstance(default, dict) and set(default) <= set(value):
        return changed_values(value, default) or SAME
    same = type(value) is type(default) and value == default
    return SAME if same else value


def changed_values(node: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of `node` that differ from `default`; keys that `node` lacks are ignored."""
    found = {key: differences(value, default.get(key, SAME)) for key, value in node.items()}
    return {key: value for key, value in found.items() if value is not SAME}
