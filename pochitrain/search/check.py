"""Refuses impossible search spaces before the first trial, by composing extreme values."""

from collections.abc import Mapping
from typing import Any

from hydra.errors import HydraException
from omegaconf import open_dict, read_write
from omegaconf.errors import OmegaConfBaseException
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    check_distribution_compatibility,
)
from optuna.study import Study

from pochitrain.config.root import validate
from pochitrain.error import ConfigError
from pochitrain.search.plan import SearchPlan
from pochitrain.sweep.trial_result import describe_composition

CONDITIONAL = " A parameter that only some options have needs optuna.custom_search_space."


def extreme_values(distribution: BaseDistribution) -> list[Any]:
    """The values to check of a parameter: all choices, or both ends of a range."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    return list(dict.fromkeys([distribution.low, distribution.high]))  # type: ignore[attr-defined]


def check_corners(plan: SearchPlan) -> None:
    """Compose and validate a job for every extreme value of every parameter.

    The other parameters have their first value. A training of full length is checked too.

    Raises:
        ConfigError: with the values that cannot work.
    """
    corners = {name: extreme_values(item) for name, item in plan.distributions.items()}
    base = {name: values[0] for name, values in corners.items()}
    points = [base] + [{**base, name: item} for name in corners for item in corners[name][1:]]
    fixed = [f"{name}={value}" for name, value in plan.fixed_in_trials.items()]
    fixed += plan.deletions
    for point in points:
        varied = [plan.render(name, value) for name, value in point.items()]
        problem = find_problem([*varied, *fixed], plan)
        if problem is None:
            continue
        if problem == find_problem(fixed, plan):  # not caused by the search space
            raise ConfigError(problem)
        raise ConfigError(
            f"optuna.search_space cannot be searched at {', '.join(varied)}: {problem}"
        )
    problem = find_problem(plan.full_overrides(base), plan)
    if problem is not None:
        raise ConfigError(problem)


def find_problem(overrides: list[str], plan: SearchPlan) -> str | None:
    """Why a job with `overrides` cannot work; None if it can."""
    try:
        job = plan.loader.load_sweep_config(plan.config, overrides)
        with read_write(job), open_dict(job):
            del job["hydra"]
        validate(job)
    except ConfigError as error:
        return str(error)
    except (HydraException, OmegaConfBaseException) as error:
        return explain_composition(error)
    return None


def explain_composition(error: Exception) -> str:
    """The message for a config that cannot be composed, with a remedy."""
    text = describe_composition(error)
    return text + (CONDITIONAL if "Could not override" in text else "")


def check_same_space(study: Study, distributions: Mapping[str, BaseDistribution]) -> None:
    """Refuse parameters whose type or choices differ from those of earlier trials of the study.

    Ranges may change. Optuna refuses the rest too, but only in the middle of the next trial.

    Raises:
        ConfigError: naming the parameter.
    """
    for trial in study.get_trials(deepcopy=False):
        for name in trial.distributions.keys() & distributions.keys():
            before, after = trial.distributions[name], distributions[name]
            try:
                check_distribution_compatibility(before, after)
            except ValueError:
                raise ConfigError(
                    f"optuna.search_space.{name} must stay {describe_values(before)} in study "
                    f"{study.study_name}, got {describe_values(after)}. Give the new search "
                    "another optuna.study_name."
                ) from None


def describe_values(distribution: BaseDistribution) -> str:
    """The values of a parameter, for messages."""
    if isinstance(distribution, CategoricalDistribution):
        return f"a choice of {list(distribution.choices)}"
    return f"a range ({distribution})"
