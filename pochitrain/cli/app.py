"""The Hydra application: composes the config, checks it, and hands it to `pochitrain.run.train`."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from pochitrain.config.allow import ALLOWED_TARGETS
from pochitrain.config.registry import register_config
from pochitrain.config.root import validate
from pochitrain.error import ConfigError
from pochitrain.paths import config_directory

# In worker processes of a sweep this module is imported before the job is composed.
register_config()

_outcome: dict[str, BaseException] = {}
"""Holds the error of a single run: Hydra would print a second message in front of ours."""


@hydra.main(
    config_path=str(config_directory()),
    config_name="config",
    execution_whitelist=ALLOWED_TARGETS,
)
def app(cfg: DictConfig) -> Any:
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        return train_task(cfg)
    try:
        require_multirun(cfg)
        return train_task(cfg)
    except Exception as error:
        _outcome["error"] = error
        return None


def require_multirun(cfg: DictConfig) -> None:
    """A search is many runs; Hydra must be told so on the command line."""
    if cfg.optuna.enabled and "optuna" in HydraConfig.get().runtime.choices:
        option = HydraConfig.get().runtime.choices["optuna"]
        raise ConfigError(
            f"optuna={option} is a search and needs --multirun: python train.py --multirun "
            f"optuna={option}, or pochi optimize. For a single run use optuna=none."
        )


def train_task(cfg: DictConfig) -> float | None:
    """Check the tree, then train.

    Returns:
        The value of the monitored metric in the best epoch, for sweepers.
    """
    notes = validate(cfg)
    from pochitrain.run.train import train  # torch is imported here, after the checks

    return train(cfg, notes)


def run_app(argv: list[str], prog: str) -> None:
    """Run the Hydra application on `argv`.

    Raises:
        ConfigError: if the command line or the config cannot be composed.
    """
    _outcome.clear()
    argv = [word.removeprefix("+") if word.startswith("+experiment=") else word for word in argv]
    with command_line([prog, *argv]):
        try:
            app()
        except HydraException as error:
            raise ConfigError(describe(error)) from error
        except OmegaConfBaseException as error:
            raise ConfigError(describe(error)) from error
    if "error" in _outcome:
        raise _outcome["error"]


@contextmanager
def command_line(argv: list[str]) -> Iterator[None]:
    """Show `argv` to Hydra, and let its errors come to us instead of being printed."""
    before, full = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = argv
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        with warnings.catch_warnings():
            yield
    finally:
        sys.argv = before
        if full is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = full


OMIT = ("full_key:", "object_type=", "reference_type=", "Config search path:", "See https")


def describe(error: BaseException) -> str:
    """Hydra's message without the lines that only help Hydra's developers."""
    texts = [str(error)]
    if error.__cause__ is not None and str(error.__cause__) not in texts[0]:
        texts.append(str(error.__cause__))
    lines = [line.strip() for text in texts for line in text.splitlines()]
    kept = [line for line in lines if line and not line.startswith(OMIT)]
    return "\n".join(dict.fromkeys(kept))
