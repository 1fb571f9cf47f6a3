"""Registers the schemas in Hydra's ConfigStore, as `schema/<group>/<name>`, and the resolvers."""

from collections.abc import Iterable
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigNode, ConfigStore
from omegaconf import DictConfig, OmegaConf

from pochitrain.config.model import INPUTS, timm_input
from pochitrain.config.monitor import search_direction
from pochitrain.config.root import GROUPS, RootConfig
from pochitrain.config.transform import LEAST_CROP_PCT


def scale_px(size_px: int | str, numerator: int, denominator: int) -> int | str:
    """`${scale_px:224,256,224}` = 256: a side length times a ratio, rounded; auto stays auto."""
    if isinstance(size_px, str):
        return size_px
    return round(size_px * numerator / denominator)


def resize_px(size_px: int | str, crop_pct: float) -> int | str:
    """`${resize_px:224,0.875}` = 256: the side of which a crop of `size_px` is the part `crop_pct`,
    rounded; auto stays auto. A crop_pct out of range is refused later, by the rule of its field."""
    if isinstance(size_px, str) or not LEAST_CROP_PCT <= crop_pct <= 1:  # nan too
        return size_px
    return round(size_px / crop_pct)


NO_COPIES = "no_deepcopy_set_nodes"
"""OmegaConf's flag not to copy the nodes that it has just made for a mapping into that mapping."""


class Schema:
    """A node of the store that is made when it is loaded.

    `ConfigStore.store` makes it at once, which takes 3 ms, and a start needs only some of them.
    `ConfigStore.load` gives a deep copy of the node, which here is a new node.
    """

    def __init__(self, schema: type[Any] | dict[str, Any]) -> None:
        self.schema = schema

    def __deepcopy__(self, memo: dict[int, Any]) -> DictConfig:
        build: Any = OmegaConf.create if isinstance(self.schema, dict) else OmegaConf.structured
        node: DictConfig = build(self.schema, flags={NO_COPIES: True})
        node._set_flag(NO_COPIES, None)
        return node


def register_config() -> None:
    """Register schemas and resolvers. Must run in every process before a config is composed."""
    store_when_loaded()
    OmegaConf.register_resolver("scale_px", scale_px, replace=True)
    OmegaConf.register_resolver("resize_px", resize_px, replace=True)
    OmegaConf.register_resolver("search_direction", search_direction, replace=True)
    OmegaConf.register_resolver("timm_input", timm_input, replace=True)
    put_schema("schema", "root", RootConfig, package="_global_")
    for name, node in INPUTS.items():
        put_schema("schema/input", name, node)
    for group, (schemas, _) in GROUPS.items():
        for name, schema in schemas.items():
            put_schema(f"schema/{group}", name, schema)


def put_schema(
    group: str,
    name: str,
    schema: type[Any] | dict[str, Any],
    package: str | None = None,
    provider: str | None = None,
) -> None:
    """Store `schema` as option `name` of `group`, as `ConfigStore.store` does."""
    folder = ConfigStore.instance().repo
    for part in group.split("/"):
        folder = folder.setdefault(part, {})
    file: Any = Schema(schema)
    name = f"{name}.yaml"
    folder[name] = ConfigNode(name, file, group, package, provider)


def store_when_loaded() -> None:
    """Let the store make the schemas of plugins when they are loaded, like ours.

    Importing the plugins of launchers and sweepers stores two dozen of them, which hardly any run
    needs.
    """
    store = ConfigStore.instance()
    store_now = ConfigStore._store.__get__(store)

    def store_later(
        name: str,
        node: Any,
        group: str | None,
        package: str | None,
        provider: str | None,
        replace: bool | None,
    ) -> None:
        path = f"{group}/{name.removesuffix('.yaml')}.yaml"
        if is_dataclass(node) and isinstance(node, type) and group and not store._open(path):
            put_schema(group, name.removesuffix(".yaml"), node, package, provider)
        else:
            store_now(name, node, group, package, provider, replace)

    # Hydra has no public way to keep a schema as a class.
    store._store = store_later  # type: ignore[method-assign]


def register_transforms_of_data(folders: Iterable[Path]) -> None:
    """Make `imagenet` the transform of every option of group `data` that has none of its name.

    config.yaml selects the transform with the name of the data option. A file in Hydra's search
    path takes precedence over what is registered here.

    Args:
        folders: config folders.
    """
    folders = list(folders)
    data = {path.stem for folder in folders for path in folder.glob("data/*.yaml")}
    transforms = {path.stem for folder in folders for path in folder.glob("transform/*.yaml")}
    for name in data - transforms:
        node = {"defaults": ["imagenet"]}
        ConfigStore.instance().store(group="transform", name=name, node=node, replace=True)
