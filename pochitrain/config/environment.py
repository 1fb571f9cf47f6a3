"""Refuses environment variables that a config file sets: some make git or the loader run code."""

from typing import Any

from omegaconf import OmegaConf

from pochitrain.error import ConfigError


def refuse_environment_of_file(node: Any) -> None:
    """Refuse values of `hydra.job.env_set` that were not given on the command line.

    Args:
        node: the composed `hydra` node.

    Raises:
        ConfigError: naming the variables.
    """
    typed: Any = OmegaConf.to_container(node.overrides.hydra)  # `${...}` stays as it is
    words = [word.lstrip("+") for word in typed]
    if node.job.env_set and not any(word.startswith("hydra.job.env_set") for word in words):
        names = ", ".join(map(str, node.job.env_set))
        raise ConfigError(
            "hydra.job.env_set must be given on the command line, got values of "
            f"{names} from a config file, which could run any program with them."
        )
