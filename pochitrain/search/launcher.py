"""What a launcher may do that a config file has chosen."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from pochitrain.error import ConfigError

DANGEROUS = ("setup", "python", "srun_args", "additional_parameters", "address", "runtime_env")
"""Keys of launchers with which a file could run any program (Ray's workers return pickles)."""


def refuse_launcher_of_file(config: DictConfig) -> None:
    """Refuse settings of a launcher that run programs, unless they were typed.

    Raises:
        ConfigError: naming the key.
    """
    words: Any = OmegaConf.to_container(config.hydra.overrides.hydra)  # `${...}` stays as it is
    typed = {word.lstrip("+").partition("=")[0] for word in words}
    for name in DANGEROUS:
        key = f"hydra.launcher.{name}"
        given = config.hydra.launcher.get(name)
        if given and not any(word == key or word.startswith(f"{key}.") for word in typed):
            raise ConfigError(
                f"{key} must be given on the command line, got a value from a config file, which "
                "could run any program with it."
            )
