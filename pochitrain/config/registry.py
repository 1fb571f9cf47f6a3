"""Registers the schemas in Hydra's ConfigStore, as `schema/<group>/<name>`, and the resolvers."""

from collections.abc import Iterable
from pathlib import Path

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from pochitrain.config.monitor import search_direction
from pochitrain.config.root import GROUPS, RootConfig


def scale_px(size_px: int | str, numerator: int, denominator: int) -> int | str:
    """`${scale_px:224,256,224}` = 256: a side length times a ratio, rounded; auto stays auto."""
    if isinstance(size_px, str):
        return size_px
    return round(size_px * numerator / denominator)


def register_config() -> None:
    """Register schemas and resolvers. Must run in every process before a config is composed."""
    OmegaConf.register_resolver("scale_px", scale_px, replace=True)
    OmegaConf.register_resolver("search_direction", search_direction, replace=True)
    store = ConfigStore.instance()
    store.store(group="schema", name="root", node=RootConfig, package="_global_", replace=True)
    for group, (schemas, _) in GROUPS.items():
        for name, schema in schemas.items():
            store.store(group=f"schema/{group}", name=name, node=schema, replace=True)


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
