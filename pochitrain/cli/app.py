"""The Hydra application: compose the config, check it, and call `pochitrain.run.train`."""

import atexit
import gc
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
    no_index,
    null_option,
    parse_flags,
    unusable_directory,
)
from pochitrain.cli.override import to_hydra
from pochitrain.command import started_s
from pochitrain.config.environment import refuse_environment_of_file
from pochitrain.config.ineffective_overrides import find_ineffective_overrides
from pochitrain.config.processes import check_processes, refuse_processes
from pochitrain.config.registry import register_config, register_transforms_of_data
from pochitrain.config.root import refuse_number_for_switch, validate
from pochitrain.config.strategy import BUDGET, strategy_name
from pochitrain.engine.interrupt import requeueing
from pochitrain.error import ConfigError
from pochitrain.manner import be_quiet, is_quiet
from pochitrain.paths import config_directory
from pochitrain.ranks import find_ranks
from pochitrain.search.grid import GridJob, WholeBasicSweeper
from pochitrain.sweep.private_loader import compose_quickly, register_plugins
from pochitrain.text import first_line

# In worker processes of a sweep this module is imported before the job is composed.
register_config()
compose_quickly()
OmegaConf.register_resolver("option_table", option_table, replace=True)

HELP_PAGES = {"help": "hydra/help=pochitrain", "hydra_help": "hydra/hydra_help=default"}
"""Flag -> the option with its text. Without the flag it would only slow down composing: the text
of our page lists all options."""

_outcome: dict[str, BaseException] = {}
"""The error of a single run, kept from Hydra, which would print a message of its own for it."""

_started: list[str] = []
"""What Hydra has called: not empty once a job has begun."""

_task: list[Callable[[DictConfig], None]] = []
"""Called with the composed config instead of training, if a command sets it (`pochi lr`)."""


@hydra.main(
    config_path=str(config_directory()),
    config_name="config",
    execution_whitelist=(),  # config/component.py passes an allow-list for each node
)
def app(cfg: DictConfig) -> Any:
    """Train with the composed config, or call the task of the command.

    The error of a single run is stored in `_outcome`; in a multirun it is raised.
    """
    _started.append("app")
    if cfg.get("quiet") is True:
        be_quiet()
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        gc.enable()
        refuse_environment_of_file(HydraConfig.get())
        refuse_number_for_switch(typed_words(), cfg)
        with requeueing():
            return train_task(cfg)
    try:
        refuse_environment_of_file(HydraConfig.get())
        refuse_number_for_switch(typed_words(), cfg)
        if _task:
            gc.enable()
            return _task[0](cfg)
        require_multirun(cfg)
        return train_task(cfg)
    except Exception as error:
        _outcome["error"] = error
        return None


def typed_words() -> list[str]:
    """The overrides of this job as typed, without resolving `${...}` in them."""
    overrides: Any = HydraConfig.get().overrides
    words: Any = OmegaConf.to_container(overrides.task)
    return list(words)


def require_multirun(cfg: DictConfig) -> None:
    """Refuse a search without --multirun: Hydra would run a single job.

    Raises:
        ConfigError: saying how to start the search.
    """
    if cfg.optuna.enabled and "optuna" in HydraConfig.get().runtime.choices:
        option = HydraConfig.get().runtime.choices["optuna"]
        raise ConfigError(
            f"optuna={option} is a search and needs --multirun: python train.py --multirun "
            f"optuna={option}, or pochi optimize. For a single run use optuna=none."
        )


def train_task(cfg: DictConfig) -> float | None:
    """Check the config, then train.

    Returns:
        The value of the monitored metric in the best epoch, which sweepers optimise.
    """
    hydra_node: Any = HydraConfig.get()
    aliases = hydra_node.get("aliases") or {}
    warnings = validate(cfg) + find_ineffective_overrides(hydra_node.overrides.task, aliases, cfg)
    ranks = find_ranks()
    if cfg.optuna.enabled:  # the command itself was refused before
        refuse_processes("A trial of a search (hydra.launcher.tasks_per_node)", ranks)
    warnings += check_processes(cfg, ranks)
    is_first = "torch" not in sys.modules
    from pochitrain.run.train import train  # torch is imported here, after the checks

    if is_first:
        gc.freeze()  # the objects of all these modules stay; looking through them takes 0.3 s
        atexit.register(gc.unfreeze)  # or libraries of torch report leaks at the end
    gc.enable()  # cli/train.py has switched it off
    if strategy_name(cfg) == BUDGET:
        from pochitrain.run.fit.fit import fit

        return fit(cfg, started_s())
    return train(cfg, warnings)


def after_folds(jobs: list[GridJob]) -> None:
    """Summarise the folds of a grid."""
    from pochitrain.run.folds import summarize_folds

    summarize_folds(jobs)


def run_app(argv: list[str], prog: str, task: Callable[[DictConfig], None] | None = None) -> None:
    """Run the Hydra application on `argv`.

    Args:
        argv: flags and overrides, without the program.
        prog: name of the program, for messages.
        task: called with the composed config of a single run instead of training.

    Raises:
        ConfigError: if the command line or the config cannot be composed.
    """
    _outcome.clear()
    _started.clear()
    _task[:] = [] if task is None else [task]
    WholeBasicSweeper.after_folds = staticmethod(after_folds)
    WholeBasicSweeper.explain = staticmethod(as_config_error)
    argv = [to_hydra(word) for word in argv]
    if is_quiet() and not any(word.startswith("quiet=") for word in argv):
        argv.append("quiet=true")
    flags = parse_flags(argv, prog)
    for flag, page in HELP_PAGES.items():
        group = page.partition("=")[0]
        if getattr(flags, flag) and not any(word.startswith(group) for word in flags.overrides):
            argv.append(page)
    with command_line([prog, *argv]):
        register_transforms_of_data(config_folders(flags))
        try:
            call_hydra(flags)
        except Exception as error:
            explained = as_config_error(error)
            if explained is None or explained is error:
                raise
            of_hydra = isinstance(error, HydraException)  # some of these are OSErrors too
            says_it_all = isinstance(error, (OSError, YAMLError)) and not of_hydra
            raise explained from (None if says_it_all else error)
    if "error" in _outcome:
        raise _outcome["error"]


def as_config_error(error: Exception) -> ConfigError | None:
    """What a person can do about an error of Hydra; None for an error of the program."""
    argv, text = sys.argv, str(error)
    if isinstance(error, ConfigError):
        return error
    if isinstance(error, InstantiationException) and "whitelist" in text:
        return ConfigError(
            "hydra.callbacks and hydra.sweeper must name nothing but the parts of a search "
            f"({first_line(error)})"
        )
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        return ConfigError(explain(error))
    if isinstance(error, ValueError):
        return explain_value_error(error, argv)
    if isinstance(error, RuntimeError) and text.startswith("Unknown plugin class"):
        return ConfigError(
            "hydra.launcher and hydra.sweeper must be plugins that are installed, got "
            f"_target_ {text.partition(':')[2].strip()}. Choose them by name: "
            "hydra/launcher=joblib."
        )
    if isinstance(error, OSError) and made_by_hydra(error):
        return ConfigError(unusable_directory(error, argv))
    if isinstance(error, YAMLError):
        return ConfigError(f"A config file is not YAML: {' '.join(text.split())}.")
    return None


def explain_value_error(error: ValueError, argv: list[str]) -> ConfigError | None:
    """What a person can do about a ValueError of Hydra; see `as_config_error`."""
    text = str(error)
    if text.startswith("Unable to configure"):  # the logging of a config file
        reason = str(error.__cause__ or error).strip()
        return ConfigError(f"hydra.job_logging cannot be set up: {reason}")
    if text.startswith("Only one of --run"):
        return ConfigError("--multirun cannot be combined with --cfg or --info.")
    index = re.match(r"invalid literal for int\(\) with base 10: '(.*)'", text)
    if index and (message := no_index(index[1], argv)):
        return ConfigError(message)
    if text.startswith("Config group override"):
        groups = [word[:-5] for word in argv if word.endswith("=null")]
        return ConfigError(null_option(groups[0]) if groups else text)
    return None


def call_hydra(flags: Namespace) -> None:
    """Run `app`. What cannot be composed is tried again with every plugin that is installed."""
    uses = (flags.multirun, flags.info, flags.hydra_help, flags.shell_completion)
    register_plugins(every=any(uses) or any("hydra" in word for word in flags.overrides))
    Plugins.instance().register(WholeBasicSweeper)  # hydra/sweeper=basic
    try:
        app()
        return
    except (HydraException, RuntimeError):
        if _started or not register_plugins(every=True):
            raise
    Plugins.instance().register(WholeBasicSweeper)
    app()  # outside of the handler, or HYDRA_FULL_ERROR=1 would show the first error too


def config_folders(flags: Namespace) -> list[Path]:
    """The folders with options: the shipped one, `--config-dir` and `hydra.searchpath`."""
    given = [] if flags.config_dir is None else [flags.config_dir]
    for word in flags.overrides:
        if word.startswith("hydra.searchpath="):
            given += re.findall(r"file://([^,\]'\"]+)", word)
    return [config_directory(), *map(Path, given)]


@contextmanager
def command_line(argv: list[str]) -> Iterator[None]:
    """Let Hydra read `argv`, and raise its errors instead of printing them."""
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
