"""The work of one search on a study, which earlier and parallel searches may share."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from pochitrain.error import ConfigError
from pochitrain.sweep.heartbeat import KILLED, OWNER, REASON, Watch
from pochitrain.sweep.private_api import QUEUED, fail_running
from pochitrain.sweep.search_space import SearchSpace
from pochitrain.sweep.settings import SweepSettings

DONE = (TrialState.COMPLETE, TrialState.PRUNED)
"""States that count towards the total."""
RETRIED = "pochitrain:retry_of"
"""User attribute of a queued trial: number of the interrupted one whose parameters it has."""
NOT_NEEDED = "not needed, the total was reached"
"""Value of REASON for a trial that another search was faster to make."""


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
    is_new: bool = True
    """Whether this search has made the study."""
    folder: Path = field(default_factory=Path)
    """Directory of trials and results."""
    budget: int = 0
    """Number of trials that this search may launch."""
    num_launched: int = 0
    num_failed: int = 0

    def __post_init__(self) -> None:
        self.watch = Watch(self.study, self.token)

    def begin(self) -> None:
        """Clean up after killed searches, and compute the budget."""
        trials = self.clean_up() if self.is_resumable else self.study.get_trials(deepcopy=False)
        if trials or (self.is_resumable and self.watch.others()):
            # With the same seed, the sampler would repeat suggestions.
            self.study.sampler.reseed_rng()
        self.budget = self.settings.n_trials - count_done(trials)

    def clean_up(self) -> list[FrozenTrial]:
        """Mark the trials of dead searches failed, and queue what the study needs of them again.

        Returns:
            All trials, as they are now.
        """
        trials = self.study.get_trials(deepcopy=False)
        stale = [t for t in trials if t.state == TrialState.RUNNING and self.watch.is_stale(t)]
        if not stale:
            return trials
        self.watch.forget_dead()
        # Other searches clean up too; each trial is queued by the one that has failed it.
        killed = [trial for trial in stale if fail_running(self.study, trial, REASON, KILLED)]
        trials = self.study.get_trials(deepcopy=False)
        queued = sum(trial.state == TrialState.WAITING for trial in trials)
        missing = self.settings.n_trials - self.count_certain(trials) - queued
        for trial in killed[: max(missing, 0)]:
            self.retry(trial)
        return self.study.get_trials(deepcopy=False)

    def count_certain(self, trials: list[FrozenTrial]) -> int:
        """Number of trials that are done, or running in a search that is alive."""
        return count_done(trials) + sum(
            trial.state == TrialState.RUNNING and not self.watch.is_stale(trial) for trial in trials
        )

    def ask(self) -> Trial | None:
        """The next trial; None if there is nothing to do now.

        Failed trials count towards the budget (or a config that always fails would never end) but
        not towards the total, so a later run replaces them. Running trials of other live searches
        count towards the total.
        """
        if self.num_launched >= self.budget or self.num_missing() <= 0:
            return None
        trial = self.study.ask()
        trial.set_user_attr(OWNER, self.token)
        if self.is_resumable and not self.is_needed(trial.number):  # another search was faster
            trial.set_user_attr(REASON, NOT_NEEDED)
            self.study.tell(trial, state=TrialState.FAIL)
            return None
        self.num_launched += 1
        return trial

    def num_missing(self) -> int:
        """Number of trials that the study needs besides those that are done or running."""
        if not self.is_resumable:
            return self.budget - self.num_launched
        return self.settings.n_trials - self.count_certain(self.clean_up())

    def is_needed(self, number: int) -> bool:
        """Whether the running trial `number` of this search is one of the total.

        Searches that ask at the same time may create more trials than are missing. Of new trials
        those with the lowest numbers stay: every other search sees them, since they were created
        before. A queued trial is older than it looks, so it gives way to every other one; that may
        leave one too few, for which the searches then ask again.
        """
        trials = self.study.get_trials(deepcopy=False)
        mine = trials[number]
        cause = mine.user_attrs.get(RETRIED)
        was_queued = QUEUED in mine.system_attrs
        ahead = 0
        for trial in trials:
            if trial.number == number or trial.state in (TrialState.WAITING, TrialState.FAIL):
                continue
            if cause is not None and trial.user_attrs.get(RETRIED) == cause:
                return False  # queued twice, by an operation whose answer was lost
            ahead += trial.state in DONE or trial.number < number or was_queued
        return ahead < self.settings.n_trials

    def num_elsewhere(self) -> int:
        """Number of missing trials that other searches are running; 0 if this one has no budget.

        If one of these searches dies, its trial is left to this search.
        """
        if not self.is_resumable or self.num_launched >= self.budget:
            return 0
        return max(0, self.settings.n_trials - count_done(self.study.get_trials(deepcopy=False)))

    def end(self) -> None:
        """Remove what is queued and no longer needed."""
        if self.is_resumable:
            trials = self.study.get_trials(deepcopy=False)
            for trial in trials if count_done(trials) >= self.settings.n_trials else []:
                if trial.state == TrialState.WAITING and RETRIED in trial.user_attrs:
                    fail_running(self.study, trial, REASON, NOT_NEEDED)

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
            self.retry(frozen)

    def retry(self, trial: FrozenTrial) -> None:
        """Queue the parameters of an interrupted trial. A grid finds missing points itself."""
        params = trial.params
        is_grid_study = isinstance(self.study.sampler, optuna.samplers.GridSampler)
        if params.keys() >= self.space.distributions.keys() and params and not is_grid_study:
            self.study.enqueue_trial(params, user_attrs={RETRIED: trial.number})


def open_study(
    settings: SweepSettings, sampler: Any, storage: BaseStorage, key: str
) -> tuple[Study, bool]:
    """Make the study, or load the one of that name from `storage`.

    Args:
        sampler: an Optuna sampler; a grid must have its points.
        key: config key of the settings, for messages.

    Returns:
        The study, and whether it is new. Of several searches that start together, one makes it.

    Raises:
        ConfigError: if the study has another direction.
    """
    name, pruner = settings.study_name, settings.pruner
    try:
        study = optuna.create_study(
            study_name=name,
            storage=storage,
            sampler=sampler,
            pruner=pruner,
            directions=settings.directions,  # type: ignore[arg-type]
        )
        return study, True
    except DuplicatedStudyError:
        assert name is not None
        study = optuna.load_study(study_name=name, storage=storage, sampler=sampler, pruner=pruner)
    found = [direction.name.lower() for direction in study.directions]
    if found != settings.directions:  # Optuna would take the worst trial for the best
        raise ConfigError(
            f"{key}.direction must stay {', '.join(found)} in study {study.study_name}, "
            f"got {', '.join(settings.directions)}. Give the new search another {key}.study_name."
        )
    return study, False


def count_done(trials: list[FrozenTrial]) -> int:
    """Number of trials that count towards the total."""
    return sum(trial.state in DONE for trial in trials)


def limit_to_grid(settings: SweepSettings, points: dict[str, list[Any]]) -> None:
    """Limit `n_trials` to the number of points of the grid."""
    settings.n_trials = min(settings.n_trials, math.prod(map(len, points.values())))
