"""Building samplers by Optuna's class names, and a grid that can be resumed."""

import functools
import itertools
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from optuna import samplers
from optuna.exceptions import ExperimentalWarning
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from pochitrain.sweep.private_api import (
    grid_of,
    has_fixed_parameters,
    read_grid_point,
    write_grid_point,
)

PATIENCE_S = 10.0
"""Seconds for which a grid waits for a search that was perhaps killed while it chose its point."""


class ResumableGridSampler(samplers.GridSampler):
    """A grid that tries failed points again, after those that were never tried.

    Optuna's own counts a failed point as visited, so a killed trial leaves a gap, and calls
    `study.stop()` on its last points, which is an error outside `study.optimize`.
    """

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Choose the point of `trial`, unless its parameters are already fixed."""
        if has_fixed_parameters(trial):
            return
        space, num_points = grid_of(self)
        self.wait_for_earlier(study, trial)
        settled: set[int] = set()
        failed: set[int] = set()
        for other in study.get_trials(deepcopy=False):
            point = read_grid_point(other, space)
            if point is not None:
                (failed if other.state == TrialState.FAIL else settled).add(point)
        points = range(num_points)
        untried = [point for point in points if point not in settled | failed]
        again = [point for point in points if point in failed - settled]
        write_grid_point(study, trial, space, next(itertools.chain(untried, again, points)))

    def wait_for_earlier(self, study: Study, trial: FrozenTrial) -> None:
        """Wait until the trials created before have their points.

        Searches that ask at the same time would else choose the same one. The first never waits,
        so they all go on.
        """
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            earlier = [other for other in running if other.number < trial.number]
            if all(has_fixed_parameters(other) for other in earlier):
                return
            time.sleep(0.02)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Do nothing, unlike Optuna's: the driver counts the trials."""


def build_sampler(name: str, seed: int | None) -> Any:
    """The sampler with the class name `name`, with Optuna's own defaults.

    The TPE config of the stock plugin overrides two of them (`multivariate`, `constant_liar`).
    For a grid, the result is a partial, which still needs its points.
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


def complete_grid(sampler: Any, points: Mapping[str, Sequence[Any]]) -> ResumableGridSampler:
    """The grid sampler over `points` (parameter -> its values)."""
    return ResumableGridSampler(points, **sampler.keywords)
