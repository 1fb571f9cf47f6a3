"""The schemas in Hydra's ConfigStore."""

import pytest
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from pochitrain.config.registry import register_config
from pochitrain.config.root import GROUPS, RootConfig

SCHEMAS = {"schema/root": RootConfig} | {
    f"schema/{group}/{name}": schema
    for group, (schemas, _) in GROUPS.items()
    for name, schema in schemas.items()
}


@pytest.mark.parametrize("path", SCHEMAS)
def test_every_load_gives_a_new_node_of_the_schema(path: str) -> None:
    register_config()
    first, second = (ConfigStore.instance().load(f"{path}.yaml") for _ in range(2))
    assert OmegaConf.structural_equality(first.node, OmegaConf.structured(SCHEMAS[path]))
    assert OmegaConf.get_type(first.node) is SCHEMAS[path]
    assert first.node is not second.node
    assert first.name == f"{path.rpartition('/')[2]}.yaml"
    assert first.group == path.rpartition("/")[0]
    assert first.package == ("_global_" if path == "schema/root" else None)


def test_registering_builds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(OmegaConf, "structured")
    register_config()
