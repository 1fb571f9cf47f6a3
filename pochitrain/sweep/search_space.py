"""The parameters of a sweep, and their conversion to overrides."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial

from pochitrain.sweep.private_api import grid_values, parse_overrides


def render_override(name: str, value: Any) -> str:
    return f"{name}={value}"


@dataclass
class SearchSpace:
    """The search space of a study, and the fixed overrides of each job."""

    distributions: dict[str, BaseDistribution]
    """Parameter -> its distribution."""
    fixed: dict[str, str] = field(default_factory=dict)
    """Fixed key -> text of its value."""
    deletions: list[str] = field(default_factory=list)
    """Overrides without a value (`~key`)."""
    extend: Callable[[Trial], None] | None = None
    """Suggests more parameters of a trial, which may depend on the others."""
    render: Callable[[str, Any], str] = render_override
    """(parameter, value in the study) -> override of a job."""

    def suggest(self, trial: Trial) -> list[str]:
        """Let the sampler choose the parameters of `trial`.

        Returns:
            The overrides of its jobs.

        Raises:
            ValueError: if a parameter is also fixed.
        """
        attributes = set(trial.user_attrs)
        for name, distribution in self.distributions.items():
            suggest(trial, name, distribution)
        if self.extend is not None:
            self.extend(trial)
        fixed = self.fixed.keys() | (trial.user_attrs.keys() - attributes)
        overlap = sorted(trial.params.keys() & fixed)
        if overlap:
            raise ValueError(
                "Overlapping fixed parameters and search space parameters found!"
                f"Overlapping parameters: {overlap}"
            )
        return [
            *(self.render(name, value) for name, value in trial.params.items()),
            *(f"{name}={value}" for name, value in self.fixed.items()),
            *self.deletions,
        ]

    def grid(self) -> dict[str, list[Any]]:
        """All values of each parameter.

        Raises:
            ValueError: if a parameter is continuous.
        """
        return {name: grid_values(item) for name, item in self.distributions.items()}


def suggest(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    """A value from `distribution` for the parameter `name` of `trial`."""
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        low, high, step, log = (
            distribution.low,
            distribution.high,
            distribution.step,
            distribution.log,
        )
        return trial.suggest_int(name, low, high, step=step, log=log)
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(
        name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
    )


def space_of_overrides(params: Mapping[str, Any] | None, arguments: list[str]) -> SearchSpace:
    """The space of `hydra.sweeper.params` and the command line, as in the stock plugin."""
    given = [f"{name}={value}" for name, value in (params or {}).items()]
    distributions, fixed, deletions = parse_overrides([*given, *arguments])
    searched = {name: item for name, item in distributions.items() if name not in fixed}
    return SearchSpace(searched, fixed, deletions)
