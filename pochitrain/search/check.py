"""Refuses impossible search spaces before the first trial, by composing extreme values."""

from collections.abc import Mapping
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    check_distribution_compatibility,
)
from optuna.study import Study

from pochitrain.config.data_place import require_places
from pochitrain.config.root import find_all_mistakes
from pochitrain.config.validators import raised
from pochitrain.error import ConfigError
from pochitrain.search.plan import SearchPlan
from pochitrain.search.preflight import Mistakes, choose_jobs
from pochitrain.sweep.private_job import load_job
from pochitrain.sweep.trial_result import describe_composition

MOST_CORNERS = 64
"""So many combinations of extreme values are tried."""
CONDITIONAL = " A parameter that only some options have needs optuna.custom_search_space."


def extreme_values(distribution: BaseDistribution) -> list[Any]:
    """The values to check of a parameter: all choices, or both ends of a range."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    return list(dict.fromkeys([distribution.low, distribution.high]))  # type: ignore[attr-defined]


def check_corners(plan: SearchPlan) -> None:
    """Compose and validate jobs for the extreme values of the parameters and their combinations.

    Every extreme value is in one of them (see `choose_jobs`). A training of full length is checked
    too.

    Raises:
        ConfigError: with all values that cannot work.
    """
    values = [
        [plan.render(name, value) for value in extreme_values(item)]
        for name, item in plan.distributions.items()
    ]
    fixed = [f"{name}={value}" for name, value in plan.fixed_in_trials.items()]
    fixed += plan.deletions
    mistakes = Mistakes()
    for varied in choose_jobs(values, MOST_CORNERS):
        mistakes.check(varied, find_problems([*varied, *fixed], plan))
    if mistakes.found:
        unrelated = find_problems(fixed, plan)  # not caused by the search space
        if unrelated:
            raise ConfigError("\n".join(unrelated))
        raise ConfigError(describe_corners(mistakes))
    base = {name: extreme_values(item)[0] for name, item in plan.distributions.items()}
    if problems := find_problems(plan.full_overrides(base), plan):
        raise ConfigError("\n".join(problems))


def describe_corners(mistakes: Mistakes) -> str:
    """The message for a search space that holds values that cannot work."""
    if len(mistakes.found) == 1:
        ((text, jobs),) = mistakes.found.items()
        return f"optuna.search_space cannot be searched ({mistakes.where(jobs)}): {text}"
    return mistakes.describe(
        lambda wrong, checked: (
            f"optuna.search_space cannot be searched: {wrong:,} of the "
            f"{checked:,} combinations of extreme values that were tried cannot run."
        )
    )


def find_problems(overrides: list[str], plan: SearchPlan) -> list[str]:
    """Why a job with `overrides` cannot work; empty if it can."""
    try:
        job, _ = load_job(plan.loader, plan.config, overrides)
    except (HydraException, OmegaConfBaseException) as error:
        return [explain_composition(error)]
    found = list(find_all_mistakes(job)) or raised(require_places, job.data)
    return [str(error) for error in found]


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
