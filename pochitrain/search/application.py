"""The search of this trainer, as an application of the sweeper (`sweep.application`)."""

import logging
from collections.abc import Sequence
from pathlib import Path

from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from optuna.study import Study
from optuna.trial import Trial, TrialState

from pochitrain.config.optuna import check_search
from pochitrain.error import ConfigError, Interrupted, PochiError, require
from pochitrain.manner import be_quiet
from pochitrain.search.check import check_corners, check_same_space, explain_composition
from pochitrain.search.custom_space import load_custom_space
from pochitrain.search.directory import ResultDirectory
from pochitrain.search.gpu import choose_gpu, free_memory
from pochitrain.search.launcher import refuse_launcher_of_file
from pochitrain.search.metric import searched_metric
from pochitrain.search.plan import read_plan, require_grid, require_something_to_search
from pochitrain.search.report import SearchReport
from pochitrain.search.terminal import SearchTerminal
from pochitrain.sweep.private_api import LAUNCHER_LOGS
from pochitrain.sweep.sampler import is_grid
from pochitrain.sweep.search_space import SearchSpace
from pochitrain.sweep.settings import SweepSettings
from pochitrain.sweep.stock_results import save_results
from pochitrain.sweep.study import StudyWork
from pochitrain.sweep.trial_result import TrialResult
from pochitrain.text import quote_override


class SearchApplication:
    """A search over trainings, configured by group `optuna`. For the methods see `Application`."""

    key = "optuna"
    output_file: str | None = "output.log"

    def __init__(self, optuna: DictConfig) -> None:
        """
        Args:
            optuna: the config group.

        Raises:
            ConfigError: for a wrong setting.
        """
        check_search(OmegaConf.to_container(optuna, resolve=True))  # type: ignore[arg-type]
        self.optuna = optuna
        self.num_repeats = int(optuna.repeats)
        self.prepare_worker = choose_gpu

    # --- before the first trial -----------------------------------------------------------------

    def setup(self, config: DictConfig, context: HydraContext, settings: SweepSettings) -> None:
        """Store config and settings; see `Application.setup`.

        Raises:
            ConfigError: for another direction than `optuna.direction`, a wrong custom space, or a
                launcher that runs programs of a config file.
        """
        rule = f"what optuna.direction says ({self.optuna.direction})"
        right = settings.directions == [self.optuna.direction]  # a training has one objective
        require(right, "hydra.sweeper.direction", rule, ", ".join(settings.directions))
        if config.get("quiet") is True:
            be_quiet()
        refuse_launcher_of_file(config)
        self.config = config
        self.loader = context.config_loader
        self.settings = settings
        path = settings.custom_search_space
        self.extend = load_custom_space(path, config) if path else None
        for name in LAUNCHER_LOGS:  # the search prints its own line per trial
            logging.getLogger(name).setLevel(logging.ERROR)

    def read_space(self, arguments: list[str]) -> SearchSpace:
        """Read the plan, and check it; see `Application.read_space`.

        Raises:
            ConfigError: for a search space that cannot work.
        """
        plan = self.plan = read_plan(arguments, self.config, self.loader)
        if is_grid(self.settings.sampler):
            require_grid(plan)
        if self.extend is None:
            require_something_to_search(plan)
        check_corners(plan)
        return SearchSpace(
            plan.distributions, plan.fixed_in_trials, plan.deletions, self.extend, plan.render
        )

    def check_study(self, study: Study) -> None:
        check_same_space(study, self.plan.distributions)

    def open_directory(self, study: Study | None, is_new: bool) -> Path:
        """Make the directory, and set it as hydra.sweep.dir, where launchers write too."""
        self.directory = ResultDirectory(self.config, study, is_new)
        node = self.config.hydra.sweep
        with read_write(node), open_dict(node):
            node.dir = str(self.directory.path)
        return self.directory.path

    def began(self, work: StudyWork) -> None:
        self.report = SearchReport(work.study, self.plan, work.folder)
        metric = searched_metric(self.config)
        self.terminal = SearchTerminal(work.study, metric, self.plan.written)
        self.terminal.print_start(work, self.plan.not_searched)
        self.is_folder_shown = False
        if work.has_results():
            self.show_folder()

    def show_folder(self) -> None:
        """Print where the results are; called once the directory is certain to be kept."""
        if not self.is_folder_shown:
            self.terminal.print(f"Results: {self.directory.path}")
            self.is_folder_shown = True

    # --- trials ---------------------------------------------------------------------------------

    def jobs(self, trial: Trial, overrides: Sequence[str]) -> list[list[str]]:
        """One training per repeat, each with its own directory and, if there are several, seed."""
        folder = f"hydra.sweep.dir={quote_override(str(self.directory.path))}"
        subdir = f"hydra.sweep.subdir=trial_{trial.number:04d}"
        if self.num_repeats == 1:
            return [[*overrides, folder, subdir]]
        seed = int(self.config.seed)
        return [
            [*overrides, folder, f"++seed={seed + repeat}", f"{subdir}/repeat_{repeat}"]
            for repeat in range(self.num_repeats)
        ]

    def trial_finished(self, trial: Trial, result: TrialResult, work: StudyWork) -> None:
        """Print and save the result of a trial; end the search after too many failures.

        The failure rate is relative to all trials planned by this command, so that one failure at
        the start does not end it.
        """
        is_wrong_input = isinstance(result.error, (ConfigError, HydraException))
        if is_wrong_input and not work.has_results():
            raise_failure(result)  # for example a missing folder: every trial would fail
        self.show_folder()
        frozen = work.study.get_trials(deepcopy=False)[trial.number]
        self.terminal.print_trial(frozen, result.reason)
        self.refresh()
        share = work.num_failed / max(work.budget, 1)
        if result.state == TrialState.FAIL and share > self.settings.max_failure_rate:
            raise_failure(result)
        result.forget_error()
        free_memory()

    def refresh(self, final: bool = False) -> None:
        """Update the result files, and print which could not be written."""
        for problem in self.report.refresh(final):
            self.terminal.console.warn(problem)

    def waiting(self, num_trials: int) -> None:
        word = "trial" if num_trials == 1 else "trials"
        self.terminal.print(f"Waiting for {num_trials} {word} of other searches.")

    # --- the end --------------------------------------------------------------------------------

    def stopped(self, error: BaseException, work: StudyWork) -> None:
        """Remove the directory if wrong input failed the first trial, else write the results."""
        if isinstance(error, ConfigError) and work.num_failed <= 1 and not work.has_results():
            if not work.watch.others():  # which may be at work in it
                self.directory.discard()
            return
        self.finish()
        if isinstance(error, KeyboardInterrupt):
            exit_code = getattr(error, "exit_code", 130)
            raise Interrupted(self.describe_stop(work), exit_code) from None

    def describe_stop(self, work: StudyWork) -> str:
        """The message after Ctrl+C or SIGTERM: how to continue."""
        if work.is_resumable:
            return "The search was stopped. The same command continues it."
        return (
            f"The search was stopped; its results so far are in {work.folder}. To be able to "
            "continue next time, keep the study: optuna.storage=sqlite:///study.db."
        )

    def ended(self, work: StudyWork) -> None:
        self.finish()
        if any(trial.state == TrialState.COMPLETE for trial in work.study.get_trials(False)):
            save_results(work.study, work.folder)

    def finish(self) -> None:
        """Write all results, and print the best trials."""
        self.refresh(final=True)
        self.terminal.print_end(self.report.importances, remedy_of(self.config))
        self.terminal.result(f"Results: {self.directory.path}")


def remedy_of(config: DictConfig) -> str:
    """How to learn what pictures show on which nothing was chosen."""
    if config.data.get("test_fraction") is not None or config.data.get("test_root") is not None:
        return "The test pictures, which no trial has seen, are for a run with the best parameters."
    return "data.test_fraction=0.1 holds out pictures that test a run with the best config."


def raise_failure(result: TrialResult) -> None:
    """Raise the error of a failed trial as one of ours, shown without a traceback.

    Raises:
        ConfigError: if the cause is wrong input.
        PochiError: for any other cause.
    """
    error = result.error
    if isinstance(error, PochiError):
        raise error
    if isinstance(error, HydraException):
        raise ConfigError(explain_composition(error)) from error
    raise PochiError(
        f"The search stopped because too many trials failed: {result.reason}"
    ) from error
