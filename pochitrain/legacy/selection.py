"""Which option each group has, and what differs from it: the common form of .py and .yaml."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pochitrain.config.root import RootConfig
from pochitrain.legacy.composition import (
    OPTION_GROUPS,
    Tree,
    compose_option,
    default_options,
    list_shipped,
)
from pochitrain.legacy.option import PER_COMMAND
from pochitrain.text import escape_interpolations

REGISTERED = ("legacy", "legacy_search")
"""Options that a file of `--config` is while its command runs (register.py); no names to write."""

SWITCHED = {"optuna": {"enabled": False}}
"""A config that is kept trains; searching belongs to a command."""


@dataclass
class Option:
    """An option of a group and the values that differ from it."""

    base: str | None
    """Name of the option; None where `values` is the whole node."""
    values: dict[str, Any] = field(default_factory=dict)


@dataclass
class Selection:
    root: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Option] = field(default_factory=dict)


def select_from_plain(
    plain: Mapping[str, Any], choices: Mapping[str, str] | None = None
) -> Selection:
    """The selection that composes to `plain`.

    A group keeps the option that was chosen, as far as that option is found and values on top of it
    say the node. Otherwise it gets the shipped option that leaves the least to say, or, where none
    has the node's `_target_` and keys, the whole node.

    Args:
        plain: a composed config as plain values, interpolations resolved.
        choices: the option of each group (hydra.runtime.choices).
    """
    return select_from_tree(Tree(as_kept(plain)), choices)


def select_from_tree(tree: Tree, choices: Mapping[str, str] | None = None) -> Selection:
    """As `select_from_plain`, from what `as_kept` gives."""
    options = {}
    for group in OPTION_GROUPS:
        if isinstance(tree.plain.get(group), dict):
            chosen = choose(group, choices or {})
            found = None if chosen is None else vary(chosen, group, tree)
            options[group] = found or find_closest(group, tree)
    return Selection(find_root(tree.plain), options)


def as_kept(plain: Mapping[str, Any]) -> dict[str, Any]:
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
    """The option that the run chose; None if it has no name that can be written."""
    if group in SWITCHED:
        return default_options()[group]
    name = choices.get(group)
    return None if name in REGISTERED else name


def find_closest(group: str, tree: Tree) -> Option:
    """The shipped option of the node's class with the least to say on top of it."""
    found = [
        option
        for name in list_shipped(group)
        if (option := vary(name, group, tree)) and "_target_" not in option.values
    ]
    whole = Option(None, dict(tree.plain[group]))
    return min(found, key=lambda option: len(repr(option.values)), default=whole)


def vary(name: str, group: str, tree: Tree) -> Option | None:
    """Option `name` with what makes it the node of `group`; None if no values on top of it do."""
    base = compose_option(group, name)
    if base is None:
        return None
    try:
        values = changed_values(tree.plain[group], tree.resolve(group, base))
    except OmegaConfBaseException:  # an interpolation that leads nowhere here
        return None
    return (
        Option(name, values)
        if tree.is_made_of(group, base, escape_interpolations(values))
        else None
    )


class Same:
    """Marks a value that is the default."""


SAME = Same()


def differences(value: Any, default: Any) -> Any:
    """`value` without the entries that are as in `default`; SAME if nothing differs."""
    if isinstance(value, dict) and isinstance(default, dict) and set(default) <= set(value):
        return changed_values(value, default) or SAME
    same = type(value) is type(default) and value == default
    return SAME if same else value


def changed_values(node: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """Entries of `node` that are not as in `default`; entries that `node` lacks do not count."""
    found = {key: differences(value, default.get(key, SAME)) for key, value in node.items()}
    return {key: value for key, value in found.items() if value is not SAME}
