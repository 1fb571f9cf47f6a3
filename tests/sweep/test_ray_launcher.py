"""Settings of `hydra/launcher=ray` that cannot work. What needs a cluster: test_launchers.py."""

import socket
from typing import Any

import pytest
from omegaconf import OmegaConf

from pochitrain.error import ConfigError
from pochitrain.sweep.ray_launcher import RayLauncher, RayLauncherConf, knock


def build(**settings: Any) -> RayLauncher:
    node = OmegaConf.merge(OmegaConf.structured(RayLauncherConf), settings)
    return RayLauncher(**{str(key): node[key] for key in node if key != "_target_"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_cpus": -1}, r"^hydra.launcher.num_cpus must be a number >= 0, got -1.0."),
        ({"num_gpus": 1.5}, r"^hydra.launcher.num_gpus must be 0 to 1 or a whole .*, got 1.5."),
        ({"num_gpus": -1}, r"^hydra.launcher.num_gpus must be"),
        ({"max_retries": -1}, r"^hydra.launcher.max_retries must be an integer >= 0, got -1."),
        ({"resources": {"tpu": -2}}, r"^hydra.launcher.resources.tpu must be .* >= 0, got -2.0."),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(**settings)


def test_a_missing_package_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pochitrain.sweep.ray_launcher.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"hydra/launcher=ray needs .* 'pochitrain\[ray\]'"):
        build()


def test_a_cluster_that_is_not_there_is_noticed_at_once() -> None:
    """Ray itself would wait for ten minutes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        knock(f"127.0.0.1:{port}")
        knock(f"ray://127.0.0.1:{port}")
    with pytest.raises(ConfigError, match=r"^hydra.launcher.address must be a Ray cluster that"):
        build(address=f"127.0.0.1:{port}").connect()
