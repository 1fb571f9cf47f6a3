"""The Hydra application: composes the config, checks it, and hands it to `pochitrain.run.train`."""

import os
import re
import sys
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from pochitrain.cli.help import option_table
from pochitrain.cli.message import (
    explain,
    made_by_hydra,
    null_option,
    parse_flags,
    unusable_directory,
)
from pochitrain.cli.override import to_hydra
from pochitrain.config.ineffective_overrides import find_ineffective_overrides
from pochitrain.config.registry import register_config, register_transforms_of_data
from pochitrain.config.root import validate
from pochitrain.error import ConfigError
from pochitrain.paths import config_directory
from pochitrain.search.grid import WholeBasicSweeper
from pochitrain.text import first_line

# In worker processes of a sweep this module is imported before the job is composed.
register_config()
OmegaConf.register_resolver("option_table", option_table, replace=True)

_outcome: dict[str, BaseException] = {}
"""Holds the error of a single run: Hydra would print a second message in front of ours."""

_task: list[Callable[[DictConfig], None]] = []
"""What to do with the composed tree instead of training, where a command asks for it."""


@hydra.main(
    config_path=str(config_directory()),
    config_name="config",
    execution_whitelist=(),  # config/component.py allows what a node needs
)
def app(cfg: DictConfig) -> Any:
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        refuse_environment_of_file()
        return train_task(cfg)
    try:
        refuse_environment_of_file()
        if _task:
            return _task[0](cfg)
        require_multirun(cfg)
        return train_task(cfg)
    except Exception as error:
        _outcome["error"] = error
        return None


def refuse_environment_of_file() -> None:
    """Environment variables make programs run code (git, the loader): a config file may set none.

    Raises:
        ConfigError: for hydra.job.env_set that is not typed.
    """
    node: Any = HydraConfig.get()
    words = [word.lstrip("+") for word in node.overrides.hydra]
    if node.job.env_set and not any(word.startswith("hydra.job.env_set") for word in words):
        names = ", ".join(map(str, node.job.env_set))
        raise ConfigError(
            "hydra.job.env_set must be given on the command line, got values of "
            f"{names} from a config file, which could then run anything."
        )


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
    hydra_node: Any = HydraConfig.get()
    aliases = hydra_node.get("aliases") or {}
    warnings = validate(cfg) + find_ineffective_overrides(hydra_node.overrides.task, aliases, cfg)
    from pochitrain.run.train import train  # torch is imported here, after the checks

    return train(cfg, warnings)


def run_app(argv: list[str], prog: str, task: Callable[[DictConfig], None] | None = None) -> None:
    """Run the Hydra application on `argv`.

    Args:
        task: done with the composed tree of a single run instead of training.

    Raises:
        ConfigError: if the command line or the config cannot be composed.
    """
    _outcome.clear()
    _task[:] = [] if task is None else [task]
    Plugins.instance().register(WholeBasicSweeper)  # hydra/sweeper=basic
    argv = [to_hydra(word) for word in argv]
    with command_line([prog, *argv]):
        register_transforms_of_data(config_folders(parse_flags(argv, prog)))
        try:
            app()
        except (HydraException, OmegaConfBaseException) as error:
            if isinstance(error, InstantiationException) and "whitelist" in str(error):
                raise ConfigError(
                    "hydra.callbacks and hydra.sweeper must not name anything else than the parts "
                    f"of a search ({first_line(error)})"
                ) from error
            raise ConfigError(explain(error)) from error
        except ValueError as error:
            if str(error).startswith("Unable to configure"):  # the logging of a config file
                reason = str(error.__cause__ or error).strip()
                raise ConfigError(f"hydra.job_logging cannot be set up: {reason}") from error
            if str(error).startswith("Only one of --run"):
                raise ConfigError("--multirun must stand without --cfg and --info.") from error
            if not str(error).startswith("Config group override"):
                raise
            groups = [word[:-5] for word in argv if word.endswith("=null")]
            raise ConfigError(null_option(groups[0]) if groups else str(error)) from error
        except RuntimeError as error:
            if not str(error).startswith("Unknown plugin class"):
                raise
            raise ConfigError(
                "hydra.launcher and hydra.sweeper must be plugins that are installed, got "
                f"_target_ {str(error).partition(':')[2].strip()}. Choose them by name: "
                "hydra/launcher=joblib."
            ) from error
        except OSError as error:
            if not made_by_hydra(error):
                raise
            raise ConfigError(unusable_directory(error, argv)) from None
        except YAMLError as error:
            raise ConfigError(
                f"A config file is not YAML: {' '.join(str(error).split())}."
            ) from None
    if "error" in _outcome:
        raise _outcome["error"]


def config_folders(flags: Namespace) -> list[Path]:
    """Where options come from: ours, `--config-dir`, and `hydra.searchpath=[file://...]`."""
    given = [] if flags.config_dir is None else [flags.config_dir]
    for word in flags.overrides:
        if word.startswith("hydra.searchpath="):
            given += re.findall(r"file://([^,\]'\"]+)", word)
    return [config_directory(), *map(Path, given)]


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
