"""What an application may have its own way in a sweep, and how a plain Hydra application has it."""

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
from pochitrain.sweep.sampler import is_grid
from pochitrain.sweep.search_space import SearchSpace, space_of_overrides
from pochitrain.sweep.settings import SweepSettings
from pochitrain.sweep.stock_results import describe_results, save_results
from pochitrain.sweep.storage import redact
from pochitrain.sweep.study import StudyWork
from pochitrain.sweep.trial_result import TrialResult
from pochitrain.sweep.worker import Prepare
from pochitrain.text import first_line

log = logging.getLogger(__name__)


class Application(Protocol):
    """The decisions of an application, in the order in which the driver asks for them."""

    key: str
    """Where the person finds the settings of the sweep in the config, for messages."""
    num_repeats: int
    """Jobs per trial; the trial's value is the mean of theirs."""
    output_file: str | None
    """Name of the file that takes what a job prints; None leaves it on the terminal."""
    prepare_worker: Prepare | None
    """For `n_jobs` > 1 with Hydra's basic launcher: jobs run in worker processes, each of which
    begins with this. None: the basic launcher runs them one after the other."""

    def setup(self, config: DictConfig, context: HydraContext, settings: SweepSettings) -> None:
        """Take the composed config of the sweep, and refuse settings that cannot work."""

    def read_space(self, arguments: list[str]) -> SearchSpace:
        """What the config and the overrides of the command line say is searched."""

    def check_study(self, study: Study) -> None:
        """Refuse a stored study that this search cannot go on with."""

    def open_directory(self, study: Study | None) -> Path:
        """The directory of trials and results; it need not exist.

        Args:
            study: None for one that no later command finds again.
        """

    def began(self, work: StudyWork) -> None:
        """The study is open, and trials are about to start."""

    def jobs(self, trial: Trial, overrides: Sequence[str]) -> list[list[str]]:
        """The overrides of the jobs of a trial."""

    def trial_finished(self, trial: Trial, result: TrialResult, work: StudyWork) -> None:
        """The study knows the result. An error raised here ends the sweep."""

    def stopped(self, error: BaseException, work: StudyWork) -> None:
        """The sweep ends early by `error`, which goes on to the person unless this raises."""

    def ended(self, work: StudyWork) -> None:
        """All trials are done."""


class PlainApplication:
    """Any Hydra application, as the stock Optuna sweeper would treat it."""

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
            for name, value in space.fixed.items():  # the function may look at them
                trial.set_user_attr(name, value)
            if self.extend is not None:
                self.extend(self.config, trial)

        space.extend = extend
        return space

    def check_study(self, study: Study) -> None:
        """Nothing: Optuna itself compares the distributions when it asks."""

    def open_directory(self, study: Study | None) -> Path:
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
        """End the sweep after too many failures, counted as the stock plugin does: per batch."""
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

    def stopped(self, error: BaseException, work: StudyWork) -> None:
        """Nothing: the error says it all."""

    def ended(self, work: StudyWork) -> None:
        save_results(work.study, work.folder)
        for line in describe_results(work.study):
            log.info(line)


def load_allowed(path: str, allowed: Any) -> Any:
    """The function `hydra.sweeper.custom_search_space`.

    Args:
        allowed: what @hydra.main(execution_whitelist=...) of the application allows.

    Raises:
        ConfigError: not there, or not allowed.
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
