"""Composes the config of a running Hydra application again, with other overrides."""

from collections.abc import Iterable, Sequence
from typing import Any

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, read_write
from omegaconf.errors import OmegaConfBaseException

from pochitrain.error import ConfigError
from pochitrain.legacy.register import SELECT
from pochitrain.text import first_line, quote_override

PLANNED = ("strategy", "budget", "budget.minutes")
"""Keys that the plan replaces."""

FLAGS = ("--config", "--config-dir", "-cd")


def typed_overrides() -> list[str]:
    """The overrides of this command or job, without those of a budget."""
    overrides: Any = HydraConfig.get().overrides
    words: Any = OmegaConf.to_container(overrides.task)
    return [word for word in words if key_of_override(word) not in PLANNED]


def typed_value(typed: Sequence[str], key: str) -> str:
    """The value that was typed for `key`; "" if none was."""
    values = [word.partition("=")[2] for word in typed if key_of_override(word) == key]
    return values[-1] if values else ""


def key_of_override(word: str) -> str:
    return word.lstrip("+~").partition("=")[0].partition("@")[0]


def combine(planned: Sequence[str], typed: Sequence[str]) -> list[str]:
    """All overrides; what was typed counts more than what was planned."""
    keys = {key_of_override(word) for word in typed}
    return [*(word for word in planned if key_of_override(word) not in keys), *typed]


def complete_command(overrides: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """The arguments of a command with these overrides, which finds what this command finds.

    Args:
        arguments: as typed; of these, --config, --config-dir and Hydra's own settings are kept.
    """
    flags: list[str] = []
    words = iter(arguments)
    for word in words:
        if word in FLAGS:
            flags += [word, next(words, "")]
        elif word.partition("=")[0] in FLAGS or word.startswith(("hydra.", "hydra/")):
            flags.append(word)
    is_file = any(word.partition("=")[0] == "--config" for word in flags)
    return [*flags, *(word for word in overrides if not (is_file and word == SELECT))]


def recompose(overrides: Iterable[str]) -> DictConfig:
    """The config with these overrides, from the search path of the running application.

    Raises:
        ConfigError: if it cannot be composed.
    """
    search = ",".join(quote_override(place) for place in HydraConfig.get().searchpath)
    words = [*overrides, *([f"hydra.searchpath=[{search}]"] if search else [])]
    try:
        return compose("config", words)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"strategy=budget cannot use these overrides: {first_line(error)}") from (
            error
        )


def tell_hydra_overrides(overrides: Sequence[str]) -> None:
    """Make `overrides` those of the running job: run directory and allow-list refer to them."""
    config: Any = HydraConfig.instance().cfg
    node = config.hydra.overrides
    with read_write(node):
        node.task = list(overrides)
