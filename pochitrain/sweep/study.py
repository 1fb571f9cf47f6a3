"""The work of one search on a study, which earlier and parallel searches may share."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import Trial, TrialState

from pochitrain.error import ConfigError
from pochitrain.sweep.heartbeat import OWNER, REASON, fail_stale_trials, live_tokens
from pochitrain.sweep.search_space import SearchSpace
from pochitrain.sweep.settings import SweepSettings
from pochitrain.sweep.storage import open_storage

DONE = (TrialState.COMPLETE, TrialState.PRUNED)
"""States that count towards the total."""


@dataclass
class StudyWork:
    """A study, and the progress of this search on it."""

    study: Study
    settings: SweepSettings
    space: SearchSpace
    token: str
    """Identifies this search in its heartbeat and its trials."""
    storage: Any
    """URL or Optuna storage of the study; None = in memory."""
    is_resumable: bool
    """Whether the study is stored, so that a later command can continue it."""
    folder: Path = field(default_factory=Path)
    """Directory of trials and results."""
    budget: int = 0
    """Number of trials that this search may launch."""
    num_launched: int = 0
    num_failed: int = 0

    def begin(self) -> None:
        """Clean up after killed searches, and compute the budget."""
        stale = fail_stale_trials(self.study)
        trials = self.study.get_trials(deepcopy=False)
        if trials or len(live_tokens(self.study)) > 1:
            # With the same seed, the sampler would repeat suggestions.
            self.study.sampler.reseed_rng()
        self.budget = self.settings.n_trials - sum(trial.state in DONE for trial in trials)
        for trial in stale[: max(self.budget, 0)]:  # none if the study is complete
            self.retry(trial.params)

    def ask(self) -> Trial | None:
        """The next trial; None if the total is reached or the budget is used up.

        Failed trials count towards the budget (or a config that always fails would never end) but
        not towards the total, so a later run replaces them. Running trials of other live searches
        count towards the total.
        """
        if self.num_launched >= self.budget or self.num_missing() <= 0:
            return None
        trial = self.study.ask()
        trial.set_user_attr(OWNER, self.token)
        if self.is_resumable and self.num_missing() < 0:  # another search was faster
            trial.set_user_attr(REASON, "not needed, the total was reached")
            self.study.tell(trial, state=TrialState.FAIL)
            return None
        self.num_launched += 1
        return trial

    def num_missing(self) -> int:
        """Number of trials that the study needs besides those that are done or running."""
        if not self.is_resumable:
            return self.budget - self.num_launched
        alive = live_tokens(self.study)
        return self.settings.n_trials - sum(
            trial.state in DONE
            or (trial.state == TrialState.RUNNING and trial.user_attrs.get(OWNER) in alive)
            for trial in self.study.get_trials(deepcopy=False)
        )

    def has_results(self) -> bool:
        """Whether a trial of the study is completed or pruned."""
        return any(trial.state in DONE for trial in self.study.get_trials(deepcopy=False))

    def give_up(self, trial: Trial, error: BaseException) -> None:
        """Mark a stopped trial failed. After an interrupt, its parameters are queued again."""
        frozen = self.study.get_trials(deepcopy=False)[trial.number]
        if frozen.state.is_finished():
            return
        trial.set_user_attr(REASON, f"the search was stopped ({type(error).__name__})")
        self.study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
        if not isinstance(error, Exception):
            self.retry(frozen.params)

    def retry(self, params: dict[str, Any]) -> None:
        """Queue the parameters of an interrupted trial. A grid finds missing points itself."""
        is_grid_study = isinstance(self.study.sampler, optuna.samplers.GridSampler)
        if params.keys() >= self.space.distributions.keys() and params and not is_grid_study:
            self.study.enqueue_trial(params)


def open_study(settings: SweepSettings, sampler: Any, url: Any, key: str) -> Study:
    """Make the study, or load the one of that name from the storage at `url`.

    Args:
        sampler: an Optuna sampler; a grid must have its points.
        key: config key of the settings, for messages.

    Raises:
        ConfigError: if the storage cannot be opened, or the study has another direction.
    """
    study = optuna.create_study(
        study_name=settings.study_name,
        storage=open_storage(url, f"{key}.storage"),
        sampler=sampler,
        pruner=settings.pruner,
        directions=settings.directions,  # type: ignore[arg-type]
        load_if_exists=True,
    )
    found = [direction.name.lower() for direction in study.directions]
    if found != settings.directions:  # Optuna would take the worst trial for the best
        raise ConfigError(
            f"{key}.direction must stay {', '.join(found)} in study {study.study_name}, "
            f"got {', '.join(settings.directions)}. Give the new search another {key}.study_name."
        )
    return study


def limit_to_grid(settings: SweepSettings, points: dict[str, list[Any]]) -> None:
    """Limit `n_trials` to the number of points of the grid."""
    settings.n_trials = min(settings.n_trials, math.prod(map(len, points.values())))
