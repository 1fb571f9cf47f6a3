"""The plan of a search, from `optuna.search_space` and the overrides of the command line."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution

from pochitrain.error import ConfigError
from pochitrain.search.search_space import Parameter, read_space, require_hyperparameter
from pochitrain.sweep.private_api import grid_values, parse_overrides

NOTHING_TO_SEARCH = (
    "optuna.search_space must hold the parameters to search, got nothing. Example: "
    "optuna.search_space={learning_rate: {type: float, low: 1e-5, high: 1e-1, "
    "log: true}}, or give a range on the command line: "
    "'learning_rate=tag(log,interval(1e-5,1e-1))'."
)


@dataclass
class SearchPlan:
    """What is searched, what is fixed, and how values of the study become overrides."""

    config: DictConfig
    """The composed config of the search, with its `hydra` node."""
    loader: ConfigLoader
    distributions: dict[str, BaseDistribution]
    """Name of a parameter in the study -> its distribution."""
    parameters: dict[str, Parameter] = field(default_factory=dict)
    """Name -> parameter, for those that `optuna.search_space` describes."""
    fixed: dict[str, str] = field(default_factory=dict)
    """Overrides of the command line: key -> text of its value."""
    deletions: list[str] = field(default_factory=list)
    """Overrides without a value (`~key`)."""
    not_searched: list[str] = field(default_factory=list)
    """Overrides that fix a parameter of `optuna.search_space`."""

    @property
    def fixed_in_trials(self) -> dict[str, str]:
        """`fixed` for trials, which train `optuna_epochs` epochs unless epochs is searched."""
        if "epochs" in self.distributions:
            return self.fixed
        return {**self.fixed, "epochs": str(self.config.optuna.optuna_epochs)}

    def render(self, name: str, value: Any) -> str:
        """The override of a job for a parameter with a value of the study."""
        parameter = self.parameters.get(name)
        return f"{name}={value}" if parameter is None else parameter.override(value)

    def written(self, name: str, value: Any) -> Any:
        """A value of the study as the user wrote it in the config."""
        parameter = self.parameters.get(name)
        return value if parameter is None else parameter.written(value)

    def full_overrides(self, params: Mapping[str, Any]) -> list[str]:
        """The overrides of a training of full length with `params` (values of the study)."""
        return [
            *(self.render(name, value) for name, value in params.items()),
            *(f"{name}={value}" for name, value in self.fixed.items()),
            *self.deletions,
        ]


def read_plan(arguments: list[str], config: DictConfig, loader: ConfigLoader) -> SearchPlan:
    """Combine the search space of the config with the overrides `arguments`.

    A range on the command line replaces the entry of that key in `optuna.search_space`, and a
    single value takes it out of the search.

    Raises:
        ConfigError: for a range that cannot be searched, or a key that is not a hyper-parameter.
    """
    refuse_wrong_sweeps(arguments)
    from_command, fixed, deletions = parse_overrides(arguments)
    for name in from_command:
        require_hyperparameter(name.lstrip("+"), f"{name} of the command line")
    plan = SearchPlan(config, loader, {}, fixed=fixed, deletions=deletions)
    fixed_keys = {name.lstrip("+"): f"{name}={value}" for name, value in fixed.items()}
    searched_keys = {name.lstrip("+") for name in from_command}
    for parameter in read_config_space(config, loader):
        if parameter.key in fixed_keys:
            plan.not_searched.append(fixed_keys[parameter.key])
        elif parameter.name in from_command:
            plan.distributions[parameter.name] = from_command[parameter.name]
        elif parameter.key not in searched_keys:
            (distribution,) = parse_overrides([parameter.sweep])[0].values()
            parameter.values = list(getattr(distribution, "choices", []))
            plan.parameters[parameter.name] = parameter
            plan.distributions[parameter.name] = distribution
    plan.distributions |= from_command
    if int(config.optuna.repeats) > 1 and "seed" in plan.distributions:
        raise ConfigError(
            f"optuna.repeats must be 1 when seed is searched, got {config.optuna.repeats}. "
            "Repeats average over seeds."
        )
    return plan


def read_config_space(config: DictConfig, loader: ConfigLoader) -> list[Parameter]:
    """The parameters of `optuna.search_space`, without entries that are null (switched off)."""
    if not config.optuna.search_space:
        return []
    space = OmegaConf.to_container(config.optuna.search_space, resolve=True)
    assert isinstance(space, dict)
    given = {str(name): entry for name, entry in space.items() if entry is not None}
    return read_space(given, config, loader.get_group_options)


def refuse_wrong_sweeps(arguments: list[str]) -> None:
    """Refuse ranges of the command line that Optuna cannot search."""
    for override in arguments:
        try:
            parse_overrides([override])
        except (ValueError, AssertionError, NotImplementedError) as error:
            raise ConfigError(f"{override} cannot be searched: {error}") from error


def require_something_to_search(plan: SearchPlan) -> None:
    """Refuse a search without parameters, which would repeat the same trial."""
    if plan.distributions:
        return
    if plan.not_searched:
        raise ConfigError(
            "optuna.search_space must keep a parameter to search, got a command line that fixes "
            f"all of them: {' '.join(plan.not_searched)}. Leave one of these out."
        )
    raise ConfigError(NOTHING_TO_SEARCH)


def require_grid(plan: SearchPlan) -> None:
    """Refuse a continuous range, which has no finite grid."""
    for name, distribution in plan.distributions.items():
        try:
            grid_values(distribution)
        except ValueError as error:
            raise ConfigError(
                f"optuna.search_space.{name}.step must be given with GridSampler: a grid "
                f"needs a finite number of values, got {distribution}. Or use type categorical."
            ) from error
