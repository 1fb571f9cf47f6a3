"""`optuna.custom_search_space`: a user's function that adds parameters to a trial."""

from collections.abc import Callable
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig
from optuna.trial import Trial

from pochitrain.config.target_allowlist import allowed_targets
from pochitrain.error import ConfigError
from pochitrain.sweep.trial_result import describe
from pochitrain.text import first_line


def load_custom_space(path: str, config: DictConfig) -> Callable[[Trial], None]:
    """The function at a dotted path, with its first argument bound to the config.

    Raises:
        ConfigError: if it does not exist or is not allowed on the command line. The returned
            function raises it too, for any error in the user's code.
    """
    overrides = list(config.hydra.overrides.task)
    allowed = allowed_targets(list(config.allow_targets), overrides)
    node = {"_target_": path, "_partial_": True}
    try:
        function: Callable[[Any, Trial], None] = instantiate(node, _execution_whitelist_=allowed)
    except InstantiationException as error:
        raise ConfigError(
            "optuna.custom_search_space must be a function f(cfg, trial) that the command "
            f"line allows, got {path!r}. If you trust it, add 'allow_targets=[{path}]'. "
            f"({first_line(error)})"
        ) from error

    def extend(trial: Trial) -> None:
        try:
            function(config, trial)
        except Exception as error:
            raise ConfigError(
                f"optuna.custom_search_space={path} failed: {describe(error)}. "
                "HYDRA_FULL_ERROR=1 shows where."
            ) from error

    return extend
