"""Our search as an application of the sweeper: it answers what `sweep.driver` asks."""

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
from pochitrain.search.check import check_corners, check_same_space, explain_composition
from pochitrain.search.custom_space import load_custom_space
from pochitrain.search.directory import ResultDirectory
from pochitrain.search.gpu import choose_gpu, free_memory
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
    """Searches the hyper-parameters of trainings, as group `optuna` says."""

    key = "optuna"
    output_file: str | None = "output.log"

    def __init__(self, optuna: DictConfig) -> None:
        """
        Args:
            optuna: the config group.

        Raises:
            ConfigError: wrong settings in it.
        """
        check_search(OmegaConf.to_container(optuna, resolve=True))  # type: ignore[arg-type]
        self.optuna = optuna
        self.num_repeats = int(optuna.repeats)
        self.prepare_worker = choose_gpu

    # --- before the first trial -----------------------------------------------------------------

    def setup(self, config: DictConfig, context: HydraContext, settings: SweepSettings) -> None:
        rule = f"what optuna.direction says ({self.optuna.direction})"
        right = settings.directions == [self.optuna.direction]  # a training has one objective
        require(right, "hydra.sweeper.direction", rule, ", ".join(settings.directions))
        self.config = config
        self.loader = context.config_loader
        self.settings = settings
        path = settings.custom_search_space
        self.extend = load_custom_space(path, config) if path else None
        for name in LAUNCHER_LOGS:  # the search prints a line per trial itself
            logging.getLogger(name).setLevel(logging.ERROR)

    def read_space(self, arguments: list[str]) -> SearchSpace:
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

    def open_directory(self, study: Study | None) -> Path:
        """Choose and make the directory; Hydra is told, whose launchers write there too."""
        self.directory = ResultDirectory(self.config, study)
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
        """Say where the results are, once it is certain that they will stay there."""
        if not self.is_folder_shown:
            self.terminal.print(f"Results: {self.directory.path}")
            self.is_folder_shown = True

    # --- trials ---------------------------------------------------------------------------------

    def jobs(self, trial: Trial, overrides: Sequence[str]) -> list[list[str]]:
        """A training per repeat, each with a directory and (of several) a seed of its own."""
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
        """Print and save how the trial ended; end the search after too many failures.

        The share of failures is that of all trials of this command, so that one bad draw at the
        start does not end it.
        """
        is_wrong_input = isinstance(result.error, (ConfigError, HydraException))
        if is_wrong_input and not work.has_results():
            raise_failure(result)  # a folder that is not there, say: every trial would fail
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
        for problem in self.report.refresh(final):
            self.terminal.print(problem, "yellow")

    # --- the end --------------------------------------------------------------------------------

    def stopped(self, error: BaseException, work: StudyWork) -> None:
        """Leave no directory behind where wrong input stopped the search at its first trial."""
        if isinstance(error, ConfigError) and work.num_failed <= 1 and not work.has_results():
            self.directory.discard()
            return
        self.finish()
        if isinstance(error, KeyboardInterrupt):
            exit_code = getattr(error, "exit_code", 130)
            raise Interrupted(self.describe_stop(work), exit_code) from None

    def describe_stop(self, work: StudyWork) -> str:
        """What the person can do after Ctrl+C or SIGTERM."""
        if work.is_resumable:
            return "The search is stopped. The same command goes on with it."
        return (
            f"The search is stopped; its results so far are in {work.folder}. To be able to go on "
            "next time, keep the study: optuna.storage=sqlite:///study.db."
        )

    def ended(self, work: StudyWork) -> None:
        self.finish()
        if any(trial.state == TrialState.COMPLETE for trial in work.study.get_trials(False)):
            save_results(work.study, work.folder)

    def finish(self) -> None:
        """The last refresh, and the best trials."""
        self.refresh(final=True)
        self.terminal.print_end(self.report.importances)
        self.terminal.print(f"Results: {self.directory.path}")


def raise_failure(result: TrialResult) -> None:
    """Raise why a trial failed as one message, without a traceback.

    Raises:
        ConfigError: wrong input.
        PochiError: anything else.
    """
    error = result.error
    if isinstance(error, PochiError):
        raise error
    if isinstance(error, HydraException):
        raise ConfigError(explain_composition(error)) from error
    raise PochiError(f"The search stopped, too many trials failed: {result.reason}") from error
