"""Everything that the sweeper takes from Hydra, its plugins and Optuna without their promise.

Each name here is private there and may change with any release. The rest of the package calls only
these functions; `tests/sweep/test_private_api.py` says which of them a release has broken.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper as BasicSweeper

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn
    from optuna.distributions import BaseDistribution
    from optuna.samplers import GridSampler
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

BASIC_LAUNCHER = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
"""`_target_` of Hydra's launcher that runs jobs one by one in this process."""
LAUNCHER_LOGS = ("hydra._internal.core_plugins.basic_launcher", "hydra_plugins")
"""Loggers of the launchers, which announce every job."""

# --- Hydra ----------------------------------------------------------------------------------------


def job_result(returned: "JobReturn") -> Any:
    """What a job returned; of a failed one its exception, which `return_value` would raise."""
    return returned._return_value


def failed_job(overrides: Sequence[str], error: BaseException) -> "JobReturn":
    """The record of a job that could not even return."""
    from hydra.core.utils import JobReturn, JobStatus

    return JobReturn(overrides=overrides, status=JobStatus.FAILED, _return_value=error)


def run_job_in_worker(
    index: int, overrides: Sequence[str], context: Any, config: Any, task: Any, singletons: Any
) -> "JobReturn":
    """Compose and run a job in a process that Hydra has not set up (the joblib launcher's code).

    Args:
        singletons: `Singleton.get_state()` of the process that started the sweep.
    """
    from hydra_plugins.hydra_joblib_launcher._core import execute_job

    returned: JobReturn = execute_job(
        index, overrides, context, config, task, 0, singletons, wrap_result=False
    )
    return returned


# --- the stock Optuna sweeper ---------------------------------------------------------------------


def parse_overrides(
    overrides: list[str],
) -> tuple[dict[str, "BaseDistribution"], dict[str, str], list[str]]:
    """(what is searched, key -> text of a fixed value, deletions) of command-line overrides.

    Raises:
        ValueError, AssertionError, NotImplementedError: a sweep that Optuna cannot search.
    """
    from hydra_plugins.hydra_optuna_sweeper._impl import create_params_from_overrides

    distributions, fixed, deletions = create_params_from_overrides(overrides)
    return distributions, fixed, deletions


def grid_values(distribution: "BaseDistribution") -> list[Any]:
    """All values of a discrete distribution.

    Raises:
        ValueError: it is continuous.
    """
    from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl

    return list(OptunaSweeperImpl._to_grid_sampler_choices(distribution))


# --- Optuna ---------------------------------------------------------------------------------------


def attach_trial(study: "Study", number: int) -> "Trial | None":
    """The running trial `number`, which another process asked for; None if it has ended."""
    from optuna.trial import Trial, TrialState

    for frozen in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if frozen.number == number:
            return Trial(study, frozen._trial_id)
    return None


def set_user_attribute(study: "Study", trial: "FrozenTrial", name: str, value: Any) -> None:
    """Give an attribute to a trial of which only the record is at hand."""
    study._storage.set_trial_user_attr(trial._trial_id, name, value)


def grid_of(sampler: "GridSampler") -> tuple[Any, int]:
    """(search space, number of points) of a grid."""
    return sampler._search_space, len(sampler._all_grids)


def read_grid_point(trial: "FrozenTrial", space: Any) -> int | None:
    """Which point of the grid over `space` the trial is; None if it belongs to another grid."""
    point = trial.system_attrs.get("grid_id")
    same = point is not None and trial.system_attrs.get("search_space") == space
    return point if same else None


def write_grid_point(study: "Study", trial: "FrozenTrial", space: Any, point: int) -> None:
    """Make the trial try this point of the grid over `space`."""
    study._storage.set_trial_system_attr(trial._trial_id, "search_space", space)
    study._storage.set_trial_system_attr(trial._trial_id, "grid_id", point)


def has_fixed_parameters(trial: "FrozenTrial") -> bool:
    """Whether the trial's parameters are decided already (queued, or a point of a grid)."""
    return bool({"grid_id", "fixed_params"} & trial.system_attrs.keys())
