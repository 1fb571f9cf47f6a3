"""What a search tries: its space and fixed overrides, checked before the first trial.

The stock plugin parses ranges and builds distributions; the guide's form of the space, the grid of
our own samplers and the checks are ours.
"""

import logging
from collections.abc import Mapping
from typing import Any

from hydra.types import HydraContext
from hydra_plugins.hydra_optuna_sweeper._impl import (
    OptunaSweeperImpl,
    create_params_from_overrides,
)
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution
from optuna.trial import Trial

from pochitrain.error import ConfigError
from pochitrain.sweep.check import check_corners
from pochitrain.sweep.outcome import describe
from pochitrain.sweep.sampler import complete_grid, is_grid
from pochitrain.sweep.space import Parameter, read_space
from pochitrain.text import first_line

log = logging.getLogger(__name__)


class SearchPlan(OptunaSweeperImpl):
    """The arguments of a search, from the config and the command line."""

    config: DictConfig
    hydra_context: HydraContext

    def __init__(
        self,
        sampler: Any,
        direction: Any,
        storage: Any | None,
        study_name: str | None,
        n_trials: int,
        n_jobs: int,
        max_failure_rate: float,
        custom_search_space: str | None,
        params: DictConfig | None,
        search: Any = None,
    ) -> None:
        """As the stock implementation, and:

        Args:
            search: group `optuna` of our own application, None in others.
        """
        super().__init__(
            sampler,
            direction,
            storage,
            study_name,
            n_trials,
            n_jobs,
            max_failure_rate,
            None,  # the stock class would import the function at once, our allow-list unknown
            params,
        )
        self.custom_search_space = custom_search_space
        self.search = search
        self.num_repeats = 1 if search is None else int(search.repeats)
        self.parameters: dict[str, Parameter] = {}
        self.fixed_params: dict[str, Any] = {}
        self.fixed_overrides: list[str] = []
        self.fixed_real: dict[str, Any] = {}
        self.distributions: dict[str, BaseDistribution] = {}

    def read_arguments(self, arguments: list[str]) -> None:
        """The search space and the fixed overrides; everything impossible is refused here."""
        self._process_searchspace_config()
        guide = self.read_guide_space()
        if self.search is not None:
            check_sweeps(arguments)
        words = [*self._parse_sweeper_params_config(), *arguments]
        by_hand, fixed, removed = create_params_from_overrides(words)
        space, _, _ = create_params_from_overrides([item.sweep for item in guide] + words)
        self.distributions = {name: item for name, item in space.items() if name not in fixed}
        self.fixed_params, self.fixed_overrides = fixed, removed
        for parameter in guide:
            if parameter.key in fixed.keys() | by_hand.keys():
                # The command line knows better than the space in the config.
                if parameter.name != parameter.key:
                    self.distributions.pop(parameter.name, None)
                continue
            distribution = self.distributions[parameter.name]
            parameter.values = list(getattr(distribution, "choices", []))
            self.parameters[parameter.name] = parameter
        if self.search is not None:
            self.set_epochs()
        self.build_grid()
        if self.search is not None:
            self.check_space()

    def read_guide_space(self) -> list[Parameter]:
        if self.search is None or not self.search.search_space:
            return []
        space = OmegaConf.to_container(self.search.search_space, resolve=True)
        assert isinstance(space, dict)
        given = {str(name): entry for name, entry in space.items() if entry is not None}
        return read_space(given, self.config, self.hydra_context.config_loader.get_group_options)

    def set_epochs(self) -> None:
        """Trials train `optuna_epochs`, however long the real training is to be."""
        self.fixed_real = dict(self.fixed_params)
        if "epochs" not in self.distributions:
            self.fixed_params["epochs"] = self.search.optuna_epochs
        if self.num_repeats > 1 and "seed" in self.distributions:
            raise ConfigError(
                f"optuna.repeats must be 1 when seed is searched, got {self.num_repeats}. "
                "Repeats are there to average the seed out."
            )

    def check_space(self) -> None:
        if not self.distributions and self.custom_search_space_extender is None:
            raise ConfigError(
                "optuna.search_space must be given: it says what to search, got nothing. Example: "
                "optuna.search_space={learning_rate: {type: float, low: 1e-5, high: 1e-1, "
                "log: true}}, or give a range on the command line: "
                "'learning_rate=tag(log,interval(1e-5,1e-1))'."
            )
        fixed = [f"{name}={value}" for name, value in self.fixed_params.items()]
        check_corners(
            self.distributions,
            self.override,
            [*fixed, *self.fixed_overrides],
            self.real_overrides({}),
            self.config,
            self.hydra_context.config_loader,
        )

    def build_grid(self) -> None:
        if not is_grid(self.sampler):
            return
        points, total = {}, 1
        for name, distribution in self.distributions.items():
            try:
                points[name] = list(self._to_grid_sampler_choices(distribution))
            except ValueError:
                if self.search is None:
                    raise
                raise ConfigError(
                    f"optuna.search_space.{name}.step must be given with GridSampler: a grid "
                    f"needs a finite number of values, got {distribution}. Or use type categorical."
                ) from None
            total *= len(points[name])
        self.sampler = complete_grid(self.sampler, points)
        self.n_trials = min(self.n_trials, total)
        self.say(f"Updating num of trials to {self.n_trials} due to using GridSampler.")

    def load_extender(self, path: str) -> Any:
        """The function `custom_search_space`, which adds parameters to a trial."""
        from hydra.errors import InstantiationException
        from hydra.utils import instantiate

        from pochitrain.config.target_allowlist import allowed_targets

        node = {"_target_": path, "_partial_": True}
        if self.search is None:
            return instantiate(node)
        overrides = list(self.config.hydra.overrides.task)
        allowed = allowed_targets(list(self.config.allow_targets), overrides)
        try:
            return instantiate(node, _execution_whitelist_=allowed)
        except InstantiationException as error:
            raise ConfigError(
                "optuna.custom_search_space must be a function f(cfg, trial) that the command "
                f"line allows, got {path!r}. If you trust it, add 'allow_targets=[{path}]'. "
                f"({first_line(error)})"
            ) from None

    def extend_space(self, extend: Any, trial: Trial) -> None:
        """Let the person's function suggest more parameters."""
        try:
            extend(self.config, trial)
        except Exception as error:
            if self.search is None:
                raise
            raise ConfigError(
                f"optuna.custom_search_space={self.custom_search_space} failed: {describe(error)}. "
                "HYDRA_FULL_ERROR=1 shows where."
            ) from error

    def real_overrides(self, params: Mapping[str, Any]) -> list[str]:
        """The overrides of a training of full length with `params` (of the study)."""
        return [
            *(self.override(name, value) for name, value in params.items()),
            *(f"{name}={value}" for name, value in self.fixed_real.items()),
            *self.fixed_overrides,
        ]

    def override(self, name: str, value: Any) -> str:
        """The override of a job for a parameter of the study."""
        parameter = self.parameters.get(name)
        return f"{name}={value}" if parameter is None else parameter.override(value)

    def say(self, text: str, level: int = logging.INFO) -> None:
        """What the stock plugin logs; our own application shows a line per trial instead."""
        if self.search is None:
            log.log(level, text)


def check_sweeps(arguments: list[str]) -> None:
    """Refuse ranges of the command line that Optuna cannot search, in our application's words."""
    for word in arguments:
        try:
            create_params_from_overrides([word])
        except (ValueError, AssertionError, NotImplementedError) as error:
            raise ConfigError(f"{word} cannot be searched: {error}") from None
