"""Samplers by the guide's names, and a grid that can be resumed."""

import functools
import itertools
import warnings
from collections.abc import Sequence
from typing import Any

from optuna import samplers
from optuna.exceptions import ExperimentalWarning
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState


class ResumableGridSampler(samplers.GridSampler):
    """Optuna's grid; points whose trial failed come again, after all that were never tried.

    Optuna counts a failed point as visited (so a killed trial leaves a hole in the grid), and on
    its last points calls `study.stop()`, which is an error outside `study.optimize`.
    """

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        if {"grid_id", "fixed_params"} & trial.system_attrs.keys():
            return
        storage = study._storage
        settled: set[int] = set()
        failed: set[int] = set()
        for other in storage.get_all_trials(study._study_id, deepcopy=False):
            grid_id = other.system_attrs.get("grid_id")
            if grid_id is None or other.system_attrs["search_space"] != self._search_space:
                continue
            (failed if other.state == TrialState.FAIL else settled).add(grid_id)
        points = range(len(self._all_grids))
        untried = [point for point in points if point not in settled | failed]
        again = [point for point in points if point in failed - settled]
        grid_id = next(itertools.chain(untried, again, points))
        storage.set_trial_system_attr(trial._trial_id, "search_space", self._search_space)
        storage.set_trial_system_attr(trial._trial_id, "grid_id", grid_id)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Nothing: the driver counts."""


def build_sampler(name: str, seed: int | None) -> Any:
    """The sampler that `optuna.sampler` names, with Optuna's own defaults.

    The stock plugin's TPE config switches off two of them (`multivariate`, `constant_liar`).
    A grid is a partial: it still needs its points.
    """
    if name == "GridSampler":
        return functools.partial(ResumableGridSampler, seed=seed)
    kind = getattr(samplers, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # it was chosen by name
        if name in ("CmaEsSampler", "GPSampler", "QMCSampler"):
            return kind(seed=seed, warn_independent_sampling=False)
        return kind(seed=seed)


def is_grid(sampler: Any) -> bool:
    """Whether `sampler` is a grid that still needs its points (also the stock plugin's)."""
    return isinstance(sampler, functools.partial) and issubclass(
        sampler.func,  # type: ignore[arg-type]
        samplers.GridSampler,
    )


def complete_grid(sampler: Any, points: dict[str, Any]) -> ResumableGridSampler:
    """The grid sampler over `points` (parameter -> its values)."""
    return ResumableGridSampler(points, **sampler.keywords)
