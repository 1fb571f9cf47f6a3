"""Drives a study: asks for a trial, launches its job, tells the result, and so on to the total.

The search space, the directions and the grid come from the stock plugin; the loop is ours, since
the stock one waits for the slowest job of every batch and takes a pruned job for a failed one.
"""

import logging
import shutil
import uuid
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any

import optuna
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from optuna.trial import Trial, TrialState

from pochitrain.error import ConfigError, Interrupted
from pochitrain.sweep.check import check_same_space
from pochitrain.sweep.directory import search_directory
from pochitrain.sweep.launch import Launching, runs_here
from pochitrain.sweep.link import StudyAddress, TrialTask, forget_trials, share_trials
from pochitrain.sweep.outcome import Outcome, read_outcome
from pochitrain.sweep.owner import OWNER, REASON, Owner, fail_stale_trials, live_tokens
from pochitrain.sweep.plan import SearchPlan
from pochitrain.sweep.report import SearchReport
from pochitrain.sweep.stop import free_memory, stop_on_sigterm
from pochitrain.sweep.storage import JOURNAL, open_storage, redact, resolve_storage
from pochitrain.sweep.worker import ProcessLauncher, threads_per_trial
from pochitrain.text import quote_override

log = logging.getLogger(__name__)

DONE = (TrialState.COMPLETE, TrialState.PRUNED)
"""States that count towards the total."""


class SearchDriver(SearchPlan):
    """One search, from the arguments of the command line to the files of the results."""

    study: optuna.Study
    folder: Path

    def __init__(
        self,
        sampler: Any,
        direction: Any,
        storage: Any | None,
        study_name: str | None,
        n_trials: int,
        n_jobs: int,
        max_failure_rate: float,
        custom_search_space: str | None,
        params: DictConfig | None,
        pruner: Any = None,
        search: Any = None,
    ) -> None:
        """As the stock implementation, and:

        Args:
            pruner: an Optuna pruner; None never prunes.
            search: group `optuna` of our own application, None in others.
        """
        super().__init__(
            sampler,
            direction,
            storage,
            study_name,
            n_trials,
            n_jobs,
            max_failure_rate,
            custom_search_space,
            params,
            search,
        )
        self.pruner = optuna.pruners.NopPruner() if pruner is None else pruner
        self.token = uuid.uuid4().hex[:12]
        self.address = StudyAddress(
            self.token, pruner=self.pruner, num_repeats=self.num_repeats, quiet=search is not None
        )
        self.num_launched = 0
        self.num_failed = 0
        self.report: SearchReport | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        task = TrialTask(task_function, self.address)
        super().setup(hydra_context=hydra_context, task_function=task, config=config)
        self.task_function = task
        self.is_here = runs_here(config, self.n_jobs, self.search is not None)
        if self.custom_search_space:
            self.custom_search_space_extender = self.load_extender(self.custom_search_space)
        if self.search is not None:
            hush()

    def sweep(self, arguments: list[str]) -> None:
        self.read_arguments(arguments)
        self.open_study()
        with stop_on_sigterm(), Owner(self.study, self.token):
            self.prepare()
            try:
                self.run_trials()
            except ConfigError:
                self.discard()
                raise
            except KeyboardInterrupt as error:
                if self.search is None:
                    raise
                raise Interrupted(self.describe_stop(), getattr(error, "exit_code", 130)) from None
            finally:
                forget_trials(self.token)
                if self.report is not None:
                    self.report.finish()
        self.save_stock_results()

    # --- study, directory, launcher -------------------------------------------------------------

    def open_study(self) -> None:
        """Make or load the study, and know where its files go."""
        directions = self._get_directions()
        if len(directions) > 1 and not isinstance(self.pruner, optuna.pruners.NopPruner):
            self.say("Nothing is pruned: Optuna prunes studies with one objective only.")
            self.pruner = self.address.pruner = optuna.pruners.NopPruner()
        self.address.reports = len(directions) == 1
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        url = self.choose_storage()
        self.study = optuna.create_study(
            study_name=self.study_name,
            storage=open_storage(url),
            sampler=self.sampler,
            pruner=self.pruner,
            directions=directions,  # type: ignore[arg-type]
            load_if_exists=True,
        )
        found = [direction.name.lower() for direction in self.study.directions]
        if found != directions:  # Optuna would go on silently, and call the worst trial the best
            raise ConfigError(
                f"optuna.direction must stay {', '.join(found)} in study {self.study.study_name}, "
                f"got {', '.join(directions)}. Give the new search another optuna.study_name."
            )
        if self.search is not None:
            check_same_space(self.study, self.distributions)
        self.address.storage, self.address.study_name = url, self.study.study_name
        self.say(f"Study name: {self.study.study_name}")
        self.say(f"Storage: {redact(str(url))}")
        self.say(f"Sampler: {type(self.sampler).__name__}")
        self.say(f"Directions: {directions}")

    def choose_storage(self) -> Any:
        """The storage's URL; a journal beside the trials where memory would not reach them."""
        url = resolve_storage(self.storage)
        self.is_resumable = url is not None
        if self.is_resumable:
            return url
        self.use_directory(None)
        if self.is_here or isinstance(self.pruner, optuna.pruners.NopPruner):
            return None
        name = f"optuna_{self.token}.journal" if self.search is None else "optuna.journal"
        return f"{JOURNAL}{(self.folder / name).absolute()}"

    def use_directory(self, study: optuna.Study | None) -> None:
        """Where trials and results go: told to Hydra, whose launchers write there too."""
        if self.search is None:
            self.folder = Path(self.config.hydra.sweep.dir)
            return
        self.folder = search_directory(self.config, study)
        self.is_new_folder = not any(self.folder.iterdir())
        node = self.config.hydra.sweep
        with read_write(node), open_dict(node):
            node.dir = str(self.folder)

    def prepare(self) -> None:
        """Clean up after dead searches, count what is done, and get the launcher."""
        if self.is_resumable:
            self.use_directory(self.study)
        for trial in fail_stale_trials(self.study):
            self.retry(trial.params)
        trials = self.study.get_trials(deepcopy=False)
        if trials or len(live_tokens(self.study)) > 1:
            # The same seed would suggest again what the study has tried already.
            self.sampler.reseed_rng()
        self.budget = self.n_trials - sum(trial.state in DONE for trial in trials)
        if self.search is not None:
            self.launcher = self.make_launcher()
            self.report = SearchReport(self)

    def make_launcher(self) -> Any:
        """The launcher of the config, or one with worker processes for several trials at a time."""
        if self.is_here or not runs_here(self.config, 1, True):
            return Plugins.instance().instantiate_launcher(
                config=self.config,
                hydra_context=self.hydra_context,
                task_function=self.task_function,
            )
        launcher = ProcessLauncher(self.n_jobs, threads_per_trial(self.n_jobs))
        launcher.setup(
            hydra_context=self.hydra_context,
            task_function=self.task_function,
            config=self.config,
        )
        return launcher

    # --- the loop -------------------------------------------------------------------------------

    def run_trials(self) -> None:
        """Keep `n_jobs` trials running until the study has its total."""
        width = 1 if self.is_here else self.n_jobs
        here = share_trials(self.token) if self.is_here else {}
        running: dict[Future[list[JobReturn]], Trial] = {}
        with Launching(self.launcher, self.is_here) as launching:
            try:
                while True:
                    while len(running) < width and (trial := self.ask()) is not None:
                        here[trial.number] = trial
                        jobs = self.compose_jobs(trial)
                        running[launching.submit(jobs, trial.number * self.num_repeats)] = trial
                    if not running:
                        return
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        trial = running.pop(future)
                        self.finish(trial, read_outcome(future, self.study.directions))
                        del here[trial.number]
            except BaseException as error:
                for trial in here.values():
                    self.give_up(trial, error)
                raise

    def ask(self) -> Trial | None:
        """The next trial; None if the total is reached, or this run's budget is used up.

        Failed trials count for the budget (else a config that always fails would never end) but
        not for the total, so a later run makes up for them. Trials of other searches that are
        alive count for the total.
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
        """Trials that the study still needs beyond those that are done or under way."""
        if not self.is_resumable:
            return self.budget - self.num_launched
        alive = live_tokens(self.study)
        trials = self.study.get_trials(deepcopy=False)
        return self.n_trials - sum(
            trial.state in DONE
            or (trial.state == TrialState.RUNNING and trial.user_attrs.get(OWNER) in alive)
            for trial in trials
        )

    def compose_jobs(self, trial: Trial) -> list[list[str]]:
        """The overrides of the jobs of `trial`, one per repeat."""
        attributes = set(trial.user_attrs)
        for name, distribution in self.distributions.items():
            trial._suggest(name, distribution)
        if self.search is None:  # as the stock plugin does
            for name, value in self.fixed_params.items():
                trial.set_user_attr(name, value)
        if self.custom_search_space_extender is not None:
            self.extend_space(self.custom_search_space_extender, trial)
        fixed = self.fixed_params.keys() | (trial.user_attrs.keys() - attributes)
        overlap = sorted(trial.params.keys() & fixed)
        if overlap:
            raise ValueError(
                "Overlapping fixed parameters and search space parameters found!"
                f"Overlapping parameters: {overlap}"
            )
        common = [
            *(self.override(name, value) for name, value in trial.params.items()),
            *(f"{name}={value}" for name, value in self.fixed_params.items()),
            *self.fixed_overrides,
        ]
        if self.search is None:
            return [common]
        return [[*common, *self.place(trial, repeat)] for repeat in range(self.num_repeats)]

    def place(self, trial: Trial, repeat: int) -> list[str]:
        """Directory of a job, and its seed where there are several."""
        subdir = f"trial_{trial.number:04d}"
        words = [f"hydra.sweep.dir={quote_override(str(self.folder))}"]
        if self.num_repeats > 1:
            subdir += f"/repeat_{repeat}"
            words.append(f"++seed={int(self.config.seed) + repeat}")
        return [*words, f"hydra.sweep.subdir={subdir}"]

    def finish(self, trial: Trial, outcome: Outcome) -> None:
        """Tell the study how a trial ended, refresh the results, and stop after many failures."""
        if outcome.state == TrialState.FAIL:
            self.num_failed += 1
            trial.set_user_attr(REASON, outcome.reason)
            self.say(f"Failed experiment: {outcome.reason}", logging.WARNING)
        self.study.tell(trial, outcome.values, state=outcome.state, skip_if_finished=True)
        if self.is_hopeless(outcome):
            outcome.raise_error(is_search=True)
        if self.report is not None:
            self.report.trial_finished(trial, outcome)
        # The stock plugin looks at each batch of n_jobs; a search is over when its own share is
        # certain, so that one bad draw at the start does not end it.
        batch = min(self.n_jobs, self.budget)
        total = max(self.num_launched, batch) if self.search is None else max(self.budget, 1)
        share = self.num_failed / total
        if outcome.state == TrialState.FAIL and share > self.max_failure_rate:
            self.say(
                f"Failed {self.num_failed} times out of {self.num_launched} "
                f"with max_failure_rate={self.max_failure_rate}.",
                logging.ERROR,
            )
            outcome.raise_error(is_search=self.search is not None)
        outcome.forget_error()
        free_memory()

    def is_hopeless(self, outcome: Outcome) -> bool:
        """Whether our own application was given something wrong that the first trial ran into.

        A folder that is not there, say, which only a training looks at: every trial would fail.
        """
        wrong = isinstance(outcome.error, (ConfigError, HydraException))
        return self.search is not None and wrong and not self.has_results()

    def has_results(self) -> bool:
        return any(trial.state in DONE for trial in self.study.get_trials(deepcopy=False))

    def discard(self) -> None:
        """Leave no directory behind where wrong input stopped the search at its first trial."""
        if self.search is not None and self.num_failed <= 1 and not self.has_results():
            self.report = None
            if self.is_new_folder:
                shutil.rmtree(self.folder, ignore_errors=True)

    def give_up(self, trial: Trial, error: BaseException) -> None:
        """Mark a trial failed whose job is stopped; a later run tries its parameters again."""
        frozen = self.study._storage.get_trial(trial._trial_id)
        if frozen.state.is_finished():
            return
        trial.set_user_attr(REASON, f"the search was stopped ({type(error).__name__})")
        self.study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
        if not isinstance(error, Exception):
            self.retry(frozen.params)

    def retry(self, params: dict[str, Any]) -> None:
        """Queue the parameters of a trial that was cut off (a grid finds its own holes)."""
        is_grid_study = isinstance(self.sampler, optuna.samplers.GridSampler)
        if params.keys() >= self.distributions.keys() and params and not is_grid_study:
            self.study.enqueue_trial(params)

    def describe_stop(self) -> str:
        """What the person can do after Ctrl+C or SIGTERM."""
        if self.is_resumable:
            return "The search is stopped. The same command goes on with it."
        return (
            f"The search is stopped; its results so far are in {self.folder}. To be able to go on "
            "next time, keep the study: optuna.storage=sqlite:///study.db."
        )

    # --- results --------------------------------------------------------------------------------

    def save_stock_results(self) -> None:
        """optimization_results.yaml, as the stock plugin writes it."""
        results: dict[str, Any] = {"name": "optuna"}
        if len(self.study.directions) > 1:
            front = self.study.best_trials
            results["solutions"] = [{"params": t.params, "values": t.values} for t in front]
            self.say(f"Number of Pareto solutions: {len(front)}")
            for trial in front:
                self.say(f"    Values: {trial.values}, Params: {trial.params}")
        elif any(t.state == TrialState.COMPLETE for t in self.study.trials) or not self.search:
            best = self.study.best_trial
            results |= {"best_params": best.params, "best_value": best.value}
            self.say(f"Best parameters: {best.params}")
            self.say(f"Best value: {best.value}")
        path = Path(self.config.hydra.sweep.dir) / "optimization_results.yaml"
        OmegaConf.save(OmegaConf.create(results), path)


def hush() -> None:
    """Keep the launchers quiet: the search prints a line per trial itself."""
    for name in ("hydra._internal.core_plugins.basic_launcher", "hydra_plugins"):
        logging.getLogger(name).setLevel(logging.ERROR)
