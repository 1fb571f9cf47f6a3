"""Registers every schema in Hydra's ConfigStore, as `schema/<group>/<name>`, and our resolvers."""

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from pochitrain.config.monitor import search_direction
from pochitrain.config.root import GROUPS, RootConfig


def scale_px(size_px: int, numerator: int, denominator: int) -> int:
    """`${scale_px:224,256,224}` = 256: a side length times a ratio, rounded."""
    return round(size_px * numerator / denominator)


def register_config() -> None:
    """Make schemas and resolvers known to Hydra; must run before composing, in every process."""
    OmegaConf.register_resolver("scale_px", scale_px, replace=True)
    OmegaConf.register_resolver("search_direction", search_direction, replace=True)
    store = ConfigStore.instance()
    store.store(group="schema", name="root", node=RootConfig, package="_global_", replace=True)
    for group, (schemas, _) in GROUPS.items():
        for name, schema in schemas.items():
            store.store(group=f"schema/{group}", name=name, node=schema, replace=True)
