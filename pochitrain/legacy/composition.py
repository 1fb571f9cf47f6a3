"""Composes single options with Hydra, without overrides."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pochitrain.config.registry import register_config
from pochitrain.config.root import GROUPS
from pochitrain.paths import config_directory
from pochitrain.text import escape_interpolations, quote_override

OPTION_GROUPS = tuple(group for group in GROUPS if (config_directory() / group).is_dir())
"""Groups with options. The others (checkpoint, fault) are nodes of the root."""

BY_VALUE = ("optuna", "strategy")
"""Groups whose options do more than their node says: they choose a sweeper, or set values of other
groups. A file names the default option, and what differs as values."""

Name = tuple[str, str]
"""Group and option."""


@functools.cache
def default_options() -> dict[str, str]:
    """Group -> default option. That of transform depends on data; it is `minimal` here."""
    config = OmegaConf.load(config_directory() / "config.yaml")
    listed = OmegaConf.to_container(config.defaults)
    assert isinstance(listed, list)
    chosen = {
        key: name for entry in listed if isinstance(entry, dict) for key, name in entry.items()
    }
    return {group: chosen[group] for group in OPTION_GROUPS} | {"transform": "minimal"}


@functools.cache
def list_shipped(group: str) -> tuple[str, ...]:
    """The shipped options of `group` that a file may choose, the default one first.

    Of the groups BY_VALUE only the default.
    """
    default = default_options()[group]
    if group in BY_VALUE:
        return (default,)
    names = sorted(path.stem for path in (config_directory() / group).glob("*.yaml"))
    return tuple(sorted(names, key=lambda name: name != default))


def compose_option(group: str, name: str) -> DictConfig | None:
    """The node of an option; None if it does not exist or cannot be composed by itself."""
    names = list_all_shipped() if name in list_shipped(group) else ((group, name),)
    return compose_options(names).get((group, name))


@functools.cache
def list_all_shipped() -> tuple[Name, ...]:
    """The options of `list_shipped` of all groups."""
    return tuple((group, name) for group in OPTION_GROUPS for name in list_shipped(group))


def compose_options(names: Sequence[Name]) -> dict[Name, DictConfig]:
    """The nodes of options, with interpolations unresolved.

    Options come from the search path of the running Hydra application (with `--config-dir` and
    `hydra.searchpath`); without one, from those that pochitrain ships. An option that does not
    exist or cannot be composed by itself is left out.
    """
    if not GlobalHydra.instance().is_initialized():
        return compose_shipped(tuple(names))
    search = tuple(HydraConfig.get().searchpath) if HydraConfig.initialized() else ()
    loader = GlobalHydra.instance().config_loader()
    places = tuple(str(place.path) for place in loader.get_search_path().get_path())
    return compose_cached(tuple(names), search, places)


@functools.lru_cache(maxsize=64)
def compose_shipped(names: tuple[Name, ...]) -> dict[Name, DictConfig]:
    """The nodes of shipped options. Starting Hydra takes 80 ms, hence a cache of its own."""
    register_config()
    with initialize_config_dir(str(config_directory())):
        return compose_options(names)


@functools.lru_cache(maxsize=64)
def compose_cached(
    names: tuple[Name, ...], search: tuple[str, ...], places: tuple[str, ...]
) -> dict[Name, DictConfig]:
    """Compose all options at once, each in its own package.

    Args:
        search: hydra.searchpath.
        places: the rest of the search path; only part of the cache key.
    """
    overrides = [
        f"+{group}@{group}._{i}={quote_override(name)}" for i, (group, name) in enumerate(names)
    ]
    path = ",".join(quote_override(place) for place in search)
    try:
        cfg = compose(overrides=[*overrides, *([f"hydra.searchpath=[{path}]"] if path else [])])
    except (HydraException, OmegaConfBaseException):
        if len(names) == 1:
            return {}
        found: dict[Name, DictConfig] = {}
        for name in names:
            found |= compose_cached((name,), search, places)
        return found
    OmegaConf.set_struct(
        cfg, None
    )  # or options without a schema would inherit it and refuse new keys
    return {(group, name): cfg[group][f"_{i}"] for i, (group, name) in enumerate(names)}


class Tree:
    """A composed config in which the node of a group can be replaced to resolve another one.

    Args:
        plain: plain values, interpolations resolved.
    """

    def __init__(self, plain: Mapping[str, Any]) -> None:
        self.plain = plain
        self.root = OmegaConf.create(
            {key: escape_interpolations(entry) for key, entry in plain.items()}
        )

    def resolve(self, group: str, node: Any) -> dict[str, Any]:
        """`node` as plain values, with its interpolations resolved as if it were at `group`.

        Raises:
            OmegaConfBaseException: if an interpolation cannot be resolved.
        """
        before = self.root[group]
        try:
            self.root[group] = node
            resolved = OmegaConf.to_container(self.root[group], resolve=True)
        finally:
            self.root[group] = before
        assert isinstance(resolved, dict)
        return {str(key): entry for key, entry in resolved.items()}

    def is_made_of(self, group: str, base: DictConfig, values: Mapping[str, Any]) -> bool:
        """Whether option `base` with `values` merged in equals the node of the group.

        Args:
            values: as OmegaConf reads them (`${...}` is an interpolation).
        """
        node = self.plain[group]
        try:
            merged = self.resolve(group, OmegaConf.merge(base, dict(values)))
        except (
            OmegaConfBaseException
        ):  # an unknown key, or an interpolation that cannot be resolved
            return False
        missing = merged.keys() - node.keys()
        # A run of an older version lacks newer keys; their defaults describe what it did.
        newer = OmegaConf.get_type(base) is not dict and has_target(base, node)
        return (newer or not missing) and all(is_same(node[key], merged.get(key)) for key in node)


def has_target(base: DictConfig, node: Mapping[str, Any]) -> bool:
    """Whether `base` and `node` have the same `_target_`, or none."""
    return bool(base.get("_target_") == node.get("_target_"))


def is_same(one: Any, other: Any) -> bool:
    """Equal, of the same types and in the same order (the first pattern of layer_rates wins)."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other or (one != one and other != other))  # NaN equals NaN here
