"""The interface through which an application customises a sweep, and its default."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from hydra.errors import InstantiationException
from hydra.types import HydraContext
from hydra.utils import instantiate
from omegaconf import DictConfig
from optuna.study import Study
from optuna.trial import Trial, TrialState

from pochitrain.error import ConfigError
from pochitrain.sweep.password import redact
from pochitrain.sweep.sampler import is_grid
from pochitrain.sweep.search_space import SearchSpace, space_of_overrides
from pochitrain.sweep.settings import SweepSettings
from pochitrain.sweep.stock_results import describe_results, save_results
from pochitrain.sweep.study import StudyWork
from pochitrain.sweep.trial_result import TrialResult
from pochitrain.sweep.worker import Prepare
from pochitrain.text import first_line

log = logging.getLogger(__name__)


class Application(Protocol):
    """The hooks of an application, in the order in which the driver calls them."""

    key: str
    """Config key of the settings of the sweep, for messages."""
    num_repeats: int
    """Jobs per trial; the value of the trial is their mean."""
    output_file: str | None
    """Name of the file for the output of a job; None leaves it on the terminal."""
    prepare_worker: Prepare | None
    """With `n_jobs` > 1 and Hydra's basic launcher, jobs run in worker processes, each of which
    calls this first. None: the basic launcher runs jobs one after the other."""

    def setup(self, config: DictConfig, context: HydraContext, settings: SweepSettings) -> None:
        """Store the composed config of the sweep, and refuse settings that cannot work."""

    def read_space(self, arguments: list[str]) -> SearchSpace:
        """The search space, from the config and the overrides of the command line."""

    def check_study(self, study: Study) -> None:
        """Refuse a stored study that this search cannot continue."""

    def open_directory(self, study: Study | None, is_new: bool) -> Path:
        """The directory of trials and results; it need not exist.

        Args:
            study: None for a study that is not stored.
            is_new: whether this search has made the study.
        """

    def began(self, work: StudyWork) -> None:
        """Called when the study is open, before the first trial."""

    def jobs(self, trial: Trial, overrides: Sequence[str]) -> list[list[str]]:
        """The overrides of each job of a trial, given those of its parameters."""

    def trial_finished(self, trial: Trial, result: TrialResult, work: StudyWork) -> None:
        """Called after the study was told the result. An error raised here ends the sweep."""

    def waiting(self, num_trials: int) -> None:
        """Called when other searches run the last `num_trials` trials, and this one waits."""

    def stopped(self, error: BaseException, work: StudyWork) -> None:
        """Called when `error` ends the sweep. It is raised again unless this raises another."""

    def ended(self, work: StudyWork) -> None:
        """Called when all trials are done."""


class PlainApplication:
    """The behaviour of the stock Optuna sweeper, for any Hydra application."""

    key = "hydra.sweeper"
    num_repeats = 1
    output_file: str | None = None
    prepare_worker: Prepare | None = None

    def setup(self, config: DictConfig, context: HydraContext, settings: SweepSettings) -> None:
        self.config = config
        self.settings = settings
        self.extend: Any = None
        if settings.custom_search_space:
            allowed = context.execution_whitelist
            self.extend = load_allowed(settings.custom_search_space, allowed)

    def read_space(self, arguments: list[str]) -> SearchSpace:
        space = space_of_overrides(self.settings.params, arguments)

        def extend(trial: Trial) -> None:
            for name, value in space.fixed.items():  # the function may read them
                trial.set_user_attr(name, value)
            if self.extend is not None:
                self.extend(self.config, trial)

        space.extend = extend
        return space

    def check_study(self, study: Study) -> None:
        """Do nothing: Optuna compares the distributions itself."""

    def open_directory(self, study: Study | None, is_new: bool) -> Path:
        return Path(self.config.hydra.sweep.dir)

    def began(self, work: StudyWork) -> None:
        if is_grid(self.settings.sampler):
            log.info(
                f"Updating num of trials to {work.settings.n_trials} due to using GridSampler."
            )
        log.info(f"Study name: {work.study.study_name}")
        log.info(f"Storage: {redact(str(work.storage))}")
        log.info(f"Sampler: {type(work.study.sampler).__name__}")
        log.info(f"Directions: {self.settings.directions}")

    def jobs(self, trial: Trial, overrides: Sequence[str]) -> list[list[str]]:
        return [list(overrides)]

    def trial_finished(self, trial: Trial, result: TrialResult, work: StudyWork) -> None:
        """End the sweep after too many failures, counted per batch as in the stock plugin."""
        if result.state != TrialState.FAIL:
            return
        log.warning(f"Failed experiment: {result.reason}")
        batch = min(self.settings.n_jobs, work.budget)
        if work.num_failed / max(work.num_launched, batch) > self.settings.max_failure_rate:
            log.error(
                f"Failed {work.num_failed} times out of {work.num_launched} "
                f"with max_failure_rate={self.settings.max_failure_rate}."
            )
            result.raise_job_error()

    def waiting(self, num_trials: int) -> None:
        log.info(f"Waiting for {num_trials} trials of other searches.")

    def stopped(self, error: BaseException, work: StudyWork) -> None:
        """Do nothing: the error is raised again."""

    def ended(self, work: StudyWork) -> None:
        save_results(work.study, work.folder)
        for line in describe_results(work.study):
            log.info(line)


def load_allowed(path: str, allowed: Any) -> Any:
    """The function `hydra.sweeper.custom_search_space`.

    Args:
        allowed: execution_whitelist of the application's @hydra.main.

    Raises:
        ConfigError: if it does not exist or is not allowed.
    """
    node = {"_target_": path, "_partial_": True}
    try:
        return instantiate(node, _execution_whitelist_=() if allowed is None else allowed)
    except InstantiationException as error:
        raise ConfigError(
            "hydra.sweeper.custom_search_space must be a function f(cfg, trial) that the "
            f"application allows, got {path!r}. If it is yours, allow it where the application "
            f"starts: @hydra.main(execution_whitelist=[{path!r}]). ({first_line(error)})"
        ) from error
