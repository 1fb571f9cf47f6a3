"""The private functions of Hydra, its plugins and Optuna that this package uses.

They may change with any release. The rest of the package calls them only through this module and
`private_loader.py`; `tests/sweep/test_private_api.py` shows which of them a release has broken.
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
"""Loggers of launchers, which log every job."""

# --- Hydra ----------------------------------------------------------------------------------------


def job_result(returned: "JobReturn") -> Any:
    """What a job returned, or its exception, which `return_value` would raise."""
    return returned._return_value


def failed_job(overrides: Sequence[str], error: BaseException) -> "JobReturn":
    """The record of a job that did not return, for example because its process died."""
    from hydra.core.utils import JobReturn, JobStatus

    return JobReturn(overrides=overrides, status=JobStatus.FAILED, _return_value=error)


def run_job_in_worker(
    index: int, overrides: Sequence[str], context: Any, config: Any, task: Any, singletons: Any
) -> "JobReturn":
    """Compose and run a job in a process without Hydra's state, as the joblib launcher does.

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
    """(parameter -> distribution, key -> text of a fixed value, deletions) of overrides.

    Raises:
        ValueError, AssertionError, NotImplementedError: for a sweep that Optuna cannot search.
    """
    from hydra_plugins.hydra_optuna_sweeper._impl import create_params_from_overrides

    distributions, fixed, deletions = create_params_from_overrides(overrides)
    return distributions, fixed, deletions


def grid_values(distribution: "BaseDistribution") -> list[Any]:
    """All values of a discrete distribution.

    Raises:
        ValueError: if it is continuous.
    """
    from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl

    return list(OptunaSweeperImpl._to_grid_sampler_choices(distribution))


# --- Optuna ---------------------------------------------------------------------------------------


def attach_trial(study: "Study", number: int) -> "Trial | None":
    """The running trial `number`, created by another process; None if it has ended."""
    from optuna.trial import Trial, TrialState

    for frozen in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if frozen.number == number:
            return Trial(study, frozen._trial_id)
    return None


QUEUED = "fixed_params"
"""System attribute of a trial that was queued with `Study.enqueue_trial`."""


def fail_running(study: "Study", trial: "FrozenTrial", name: str, value: Any) -> bool:
    """Set a user attribute of a trial that has not ended, and mark it failed.

    Returns:
        False if it has ended; of several processes that do this at the same time, one gets True.
    """
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.trial import TrialState

    try:
        study._storage.set_trial_user_attr(trial._trial_id, name, value)
        study._storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)
    except UpdateFinishedTrialError:
        return False
    return True


def grid_of(sampler: "GridSampler") -> tuple[Any, int]:
    """(search space, number of points) of a grid."""
    return sampler._search_space, len(sampler._all_grids)


def read_grid_point(trial: "FrozenTrial", space: Any) -> int | None:
    """The number of the point that a trial has in the grid over `space`; None in another grid."""
    point = trial.system_attrs.get("grid_id")
    same = point is not None and trial.system_attrs.get("search_space") == space
    return point if same else None


def write_grid_point(study: "Study", trial: "FrozenTrial", space: Any, point: int) -> None:
    """Assign point number `point` of the grid over `space` to a trial."""
    study._storage.set_trial_system_attr(trial._trial_id, "search_space", space)
    study._storage.set_trial_system_attr(trial._trial_id, "grid_id", point)


def has_fixed_parameters(trial: "FrozenTrial") -> bool:
    """Whether the parameters of a trial are already fixed (queued, or a point of a grid)."""
    return bool({"grid_id", QUEUED} & trial.system_attrs.keys())
