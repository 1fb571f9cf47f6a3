"""In what the config of a run differs from the defaults."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from omegaconf.errors import OmegaConfBaseException

from pochitrain.legacy.composition import (
    BY_VALUE,
    OPTION_GROUPS,
    Tree,
    compose_options,
    default_options,
)
from pochitrain.legacy.option import PER_COMMAND
from pochitrain.legacy.selection import Option, changed_values, find_root, select_from_plain
from pochitrain.run.compare.setting import show
from pochitrain.run.report.run_files import RunFiles
from pochitrain.run.resume.config import flatten


@dataclass
class Difference:
    """A key that is not as in a run without overrides."""

    key: str
    value: str
    is_option: bool
    """Whether the value is the option of a group."""


def find_differences(run: RunFiles) -> list[Difference] | None:
    """The options that are chosen, then the keys that differ from what these say.

    None for a config that is not like those of this version.
    """
    try:
        return list_differences(run)
    except (AttributeError, KeyError, TypeError, ValueError, OmegaConfBaseException):
        return None


def list_differences(run: RunFiles) -> list[Difference]:
    plain = {key: value for key, value in run.config.items() if key not in PER_COMMAND}
    options = known_options(run, plain)
    root = find_root(plain)
    if options is None:
        data = select_from_plain(plain).options.get("data")
        named = {} if data is None or data.base is None else {"transform": data.base}
        selection = select_from_plain(plain, named)
        options, root = selection.options, selection.root
    defaults = default_options()
    rows = [
        Difference(group, option.base, True)
        for group, option in options.items()
        if option.base is not None and option.base != usual(group, defaults, options)
    ]
    changed: dict[str, Any] = {**root}
    changed |= {group: option.values for group, option in options.items() if option.values}
    values = flatten(changed)
    rows += [Difference(".".join(path), show(value), False) for path, value in values.items()]
    return rows


def usual(group: str, defaults: dict[str, str], options: dict[str, Option]) -> str | None:
    """The option that a group has by itself; that of transform is called as that of data."""
    return options["data"].base if group == "transform" and "data" in options else defaults[group]


def known_options(run: RunFiles, plain: dict[str, Any]) -> dict[str, Option] | None:
    """The option of each group as the command has chosen it, and what differs from it.

    None where that is not known, or cannot be composed here.
    """
    groups = [group for group in OPTION_GROUPS if isinstance(plain.get(group), dict)]
    chosen = {g: default_options()[g] if g in BY_VALUE else run.choices.get(g) for g in groups}
    if None in chosen.values():
        return None
    bases = compose_options(tuple((group, str(name)) for group, name in chosen.items()))
    tree = Tree(plain)
    found = {}
    with suppress(Exception):  # an option that needs what is not there
        for group, name in chosen.items():
            before = tree.resolve(group, bases[group, str(name)])
            found[group] = Option(name, changed_values(plain[group], before))
        if "strategy" in run.choices:
            found["strategy"].base = run.choices["strategy"]
            found["strategy"].values.pop("name", None)
        return found
    return None
