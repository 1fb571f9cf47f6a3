"""Drives a study: asks for a trial, launches its job, tells the result, and so on to the total.

The search space, the directions and the grid come from the stock plugin; the loop is ours, since
the stock one waits for the slowest job of every batch and takes a pruned job for a failed one.
"""

import gc
import logging
import signal
import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any

import optuna
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext, TaskFunction
from hydra_plugins.hydra_optuna_sweeper._impl import (
    OptunaSweeperImpl,
    create_params_from_overrides,
)
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from optuna.distributions import BaseDistribution
from optuna.trial import Trial, TrialState

from pochitrain.error import ConfigError
from pochitrain.sweep.check import check_space
from pochitrain.sweep.launch import Launching, choose_launcher
from pochitrain.sweep.link import StudyAddress, TrialTask, forget_trials, share_trials
from pochitrain.sweep.outcome import Outcome, read_outcome
from pochitrain.sweep.owner import OWNER, REASON, Owner, fail_stale_trials, live_tokens
from pochitrain.sweep.sampler import complete_grid, is_grid
from pochitrain.sweep.space import Parameter, read_space
from pochitrain.sweep.storage import JOURNAL, open_storage, redact, resolve_storage

log = logging.getLogger(__name__)

DONE = (TrialState.COMPLETE, TrialState.PRUNED)
"""States that count towards the total."""
OPEN = (TrialState.RUNNING,)


class SearchDriver(OptunaSweeperImpl):
    """One search, from the arguments of the command line to the files of the results."""

    def __init__(self, *arguments: Any, pruner: Any = None, search: Any = None) -> None:
        """As the stock implementation, and:

        Args:
            pruner: an Optuna pruner; None never prunes.
            search: group `optuna` of our own application, None in others.
        """
        custom_search_space = arguments[7]
        super().__init__(*arguments[:7], None, *arguments[8:])
        self.custom_search_space = custom_search_space
        self.pruner = optuna.pruners.NopPruner() if pruner is None else pruner
        self.search: DictConfig | None = search
        self.parameters: dict[str, Parameter] = {}
        self.fixed_params: dict[str, Any] = {}
        self.fixed_overrides: list[str] = []
        self.distributions: dict[str, BaseDistribution] = {}
        self.num_launched = 0
        self.num_failed = 0
        self.num_repeats = 1 if search is None else int(search.repeats)
        self.reports: list[Any] = []

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.config = config
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.sweep_dir = config.hydra.sweep.dir
        if self.custom_search_space:
            self.custom_search_space_extender = self.load_extender(self.custom_search_space)
        if self.search is None:  # another application: its launcher must be able to refuse now
            self.launcher = self.make_launcher(task_function)

    def sweep(self, arguments: list[str]) -> None:
        self.read_arguments(arguments)
        self.open_study()
        with Owner(self.study) as owner, terminated_as_exit():
            self.owner = owner
            self.prepare_directory()
            self.prepare_trials()
            try:
                self.run_trials()
            finally:
                forget_trials(self.owner.token)
                self.report(final=True)
        self.save_stock_results()

    # --- before the first trial -----------------------------------------------------------------

    def read_arguments(self, arguments: list[str]) -> None:
        """The search space and the fixed overrides; everything impossible is refused here."""
        self._process_searchspace_config()
        guide = self.read_guide_space()
        words = [parameter.sweep for parameter in guide] + self._parse_sweeper_params_config()
        try:
            space, fixed, removed = create_params_from_overrides([*words, *arguments])
        except ValueError as error:
            raise ConfigError(f"hydra.sweeper.params cannot be searched: {error}") from error
        self.distributions = {name: item for name, item in space.items() if name not in fixed}
        self.fixed_params, self.fixed_overrides = fixed, removed
        for parameter in guide:
            overridden = parameter.key in fixed or (
                parameter.key != parameter.name and parameter.key in space
            )
            if overridden:  # the command line knows better than the space in the config
                self.distributions.pop(parameter.name, None)
            elif parameter.name in self.distributions:
                parameter.values = list(getattr(self.distributions[parameter.name], "choices", []))
                self.parameters[parameter.name] = parameter
        self.build_grid()
        if self.search is not None:
            self.set_epochs()
            check_space(self)

    def read_guide_space(self) -> list[Parameter]:
        if self.search is None or not self.search.search_space:
            return []
        loader = self.hydra_context.config_loader
        space = OmegaConf.to_container(self.search.search_space, resolve=True)
        assert isinstance(space, dict)
        given = {str(name): entry for name, entry in space.items() if entry is not None}
        return read_space(given, self.config, loader.get_group_options)

    def set_epochs(self) -> None:
        """Trials train `optuna_epochs`, however long the real training is to be."""
        assert self.search is not None
        if "epochs" not in self.distributions:
            self.fixed_params["epochs"] = self.search.optuna_epochs
        if self.num_repeats > 1 and "seed" in self.distributions:
            raise ConfigError(
                "optuna.repeats must be 1 when seed is searched, "
                f"got {self.num_repeats}. Repeats are there to average the seed out."
            )

    def build_grid(self) -> None:
        if not is_grid(self.sampler):
            return
        points = {}
        for name, distribution in self.distributions.items():
            try:
                points[name] = list(self._to_grid_sampler_choices(distribution))
            except ValueError:
                raise ConfigError(
                    f"optuna.search_space.{name}.step must be given with GridSampler: "
                    f"a grid needs a finite number of values, got {distribution}."
                ) from None
        total = 1
        for values in points.values():
            total *= len(values)
        self.sampler = complete_grid(self.sampler, points)
        self.n_trials = min(self.n_trials, total)
        log.info(f"Updating num of trials to {self.n_trials} due to using GridSampler.")

    def open_study(self) -> None:
        """Make or load the study; failed trials of dead searches are marked."""
        directions = self._get_directions()
        self.is_multi_objective = len(directions) > 1
        if self.is_multi_objective and not isinstance(self.pruner, optuna.pruners.NopPruner):
            self.pruner = optuna.pruners.NopPruner()
            log.info("Pruning is off: Optuna prunes single-objective studies only.")
        self.storage_url = resolve_storage(self.storage)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = open_storage(self.storage_url)
        try:
            self.study = optuna.create_study(
                study_name=self.study_name,
                storage=storage,
                sampler=self.sampler,
                pruner=self.pruner,
                directions=directions,  # type: ignore[arg-type]
                load_if_exists=True,
            )
        except ValueError as error:
            raise ConfigError(f"optuna.direction cannot change in a study: {error}") from None
        log.info(f"Study name: {self.study.study_name}")
        log.info(f"Storage: {redact(str(self.storage_url))}")
        log.info(f"Sampler: {type(self.sampler).__name__}")
        log.info(f"Directions: {directions}")

    def prepare_directory(self) -> None:
        """Where trials and results go; `hydra.sweep.dir` if the person gave one."""
        if self.search is None:
            self.folder = Path(self.config.hydra.sweep.dir)
            return
        from pochitrain.sweep.directory import search_directory

        self.folder = search_directory(self.config, self.study)
        with read_write(self.config), open_dict(self.config):
            self.config.hydra.sweep.dir = str(self.folder)

    def prepare_trials(self) -> None:
        """Clean up after dead searches, and get the launcher."""
        found = fail_stale_trials(self.study)
        for trial in found:
            log.info(f"Trial {trial.number} of a search that was killed is marked as failed.")
            self.retry(trial.params)
        trials = self.study.get_trials(deepcopy=False)
        if trials or len(live_tokens(self.study)) > 1:
            # The same seed would suggest again what the study has tried already.
            self.sampler.reseed_rng()
        self.budget = self.n_trials - sum(trial.state in DONE for trial in trials)
        if self.search is not None:
            self.launcher = self.make_launcher(self.task_function)
            from pochitrain.sweep.report import SearchReport

            self.reports.append(SearchReport(self))

    def make_launcher(self, task_function: TaskFunction) -> Any:
        launcher = Plugins.instance().instantiate_launcher(
            config=self.config, hydra_context=self.hydra_context, task_function=task_function
        )
        return launcher

    def load_extender(self, path: str) -> Any:
        """The function that adds parameters to a trial."""
        from hydra.errors import InstantiationException
        from hydra.utils import instantiate

        from pochitrain.config.allow import allowed_targets

        node = {"_target_": path, "_partial_": True}
        if self.search is None:
            return instantiate(node)
        overrides = list(self.config.hydra.overrides.task)
        allowed = allowed_targets(list(self.config.allow_targets), overrides)
        try:
            return instantiate(node, _execution_whitelist_=allowed)
        except InstantiationException as error:
            raise ConfigError(
                f"optuna.custom_search_space must be a function f(cfg, trial) that the command "
                f"line allows, got {path!r}. If you trust it, add 'allow_targets=[{path}]'. "
                f"({(str(error).splitlines() or [''])[0]})"
            ) from None

    # --- the loop -------------------------------------------------------------------------------

    def run_trials(self) -> None:
        """Keep `n_jobs` trials running until the study has its total."""
        launcher, width = choose_launcher(self)
        here = share_trials(self.owner.token)
        running: dict[Future[list[JobReturn]], Trial] = {}
        with Launching(launcher, width) as launching:
            try:
                while True:
                    while len(running) < width and self.has_room(len(running)):
                        trial = self.ask()
                        here[trial.number] = trial
                        jobs = self.compose_jobs(trial)
                        first = trial.number * self.num_repeats
                        self.job_started(trial)
                        running[launching.submit(jobs, first)] = trial
                    if not running:
                        return
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        trial = running.pop(future)
                        self.finish(trial, read_outcome(future, self.study.directions))
                        here.pop(trial.number, None)
            except BaseException as error:
                for trial in [*running.values(), *(t for t in here.values())]:
                    self.give_up(trial, error)
                raise

    def has_room(self, num_running: int) -> bool:
        """Whether another trial may start: neither the total nor this run's budget is used up.

        Failed trials count for the budget (else a config that always fails would never end) but
        not for the total, so a later run makes up for them.
        """
        if self.num_launched >= self.budget:
            return False
        if self.storage_url is None:
            return True
        trials = self.study.get_trials(deepcopy=False)
        done = sum(trial.state in DONE for trial in trials)
        alive = live_tokens(self.study)
        at_work = sum(
            trial.state in OPEN and trial.user_attrs.get(OWNER) in alive for trial in trials
        )
        return done + at_work < self.n_trials

    def ask(self) -> Trial:
        trial = self.study.ask()
        trial.set_user_attr(OWNER, self.owner.token)
        self.num_launched += 1
        return trial

    def compose_jobs(self, trial: Trial) -> list[list[str]]:
        """The overrides of the jobs of `trial`, one per repeat."""
        attributes = trial.user_attrs
        for name, distribution in self.distributions.items():
            trial._suggest(name, distribution)
        if self.search is None:
            for name, value in self.fixed_params.items():
                trial.set_user_attr(name, value)
        if self.custom_search_space_extender:
            self.custom_search_space_extender(self.config, trial)
        overlap = trial.params.keys() & ({*trial.user_attrs, *self.fixed_params} - {*attributes})
        if overlap:
            raise ValueError(
                "Overlapping fixed parameters and search space parameters found!"
                f"Overlapping parameters: {sorted(overlap)}"
            )
        chosen = [self.override(name, value) for name, value in trial.params.items()]
        fixed = [f"{name}={value}" for name, value in self.fixed_params.items()]
        common = [*fixed, *chosen, *self.fixed_overrides]
        if self.search is None:
            return [common]
        return [[*common, *self.place(trial, repeat)] for repeat in range(self.num_repeats)]

    def override(self, name: str, value: Any) -> str:
        if name in self.parameters:
            return self.parameters[name].override(value)
        return f"{name}={value}"

    def place(self, trial: Trial, repeat: int) -> list[str]:
        """Directory of a job, and its seed where there are several."""
        subdir = f"trial_{trial.number:04d}"
        words = [f"hydra.sweep.dir={self.quote(str(self.folder))}"]
        if self.num_repeats > 1:
            subdir += f"/repeat_{repeat}"
            words.append(f"seed={int(self.config.seed) + repeat}")
        return [*words, f"hydra.sweep.subdir={subdir}"]

    @staticmethod
    def quote(text: str) -> str:
        return "'" + text.replace("'", "\\'") + "'"

    def finish(self, trial: Trial, outcome: Outcome) -> None:
        """Tell the study how a trial ended, then refresh the results."""
        if outcome.state == TrialState.FAIL:
            self.num_failed += 1
            trial.set_user_attr(REASON, outcome.reason)
            log.warning(f"Failed experiment: {outcome.reason}")
        if outcome.state == TrialState.PRUNED:
            self.study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
        else:
            self.study.tell(
                trial, outcome.values, state=outcome.state, skip_if_finished=True
            )
        self.job_finished(trial, outcome)
        self.report()
        num_finished = max(self.num_launched, 1)
        if outcome.state == TrialState.FAIL and self.num_failed / num_finished > float(
            self.max_failure_rate
        ):
            log.error(
                f"Failed {self.num_failed} times out of {num_finished} "
                f"with max_failure_rate={self.max_failure_rate}."
            )
            outcome.raise_error()
        outcome.error = None
        free_memory(outcome)

    def give_up(self, trial: Trial, error: BaseException) -> None:
        """Mark a trial failed whose job is being stopped; a later run tries its parameters again."""
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
        if params.keys() >= self.distributions.keys() and not is_grid_study:
            self.study.enqueue_trial(params)

    # --- results --------------------------------------------------------------------------------

    def job_started(self, trial: Trial) -> None:
        for report in self.reports:
            report.trial_started(trial)

    def job_finished(self, trial: Trial, outcome: Outcome) -> None:
        for report in self.reports:
            report.trial_finished(trial, outcome)

    def report(self, final: bool = False) -> None:
        for report in self.reports:
            report.refresh(final)

    def save_stock_results(self) -> None:
        """optimization_results.yaml, as the stock plugin writes it."""
        results: dict[str, Any] = {"name": "optuna"}
        if self.is_multi_objective:
            front = self.study.best_trials
            results["solutions"] = [{"params": t.params, "values": t.values} for t in front]
            log.info(f"Number of Pareto solutions: {len(front)}")
            for trial in front:
                log.info(f"    Values: {trial.values}, Params: {trial.params}")
        else:
            best = self.study.best_trial
            results |= {"best_params": best.params, "best_value": best.value}
            log.info(f"Best parameters: {best.params}")
            log.info(f"Best value: {best.value}")
        path = Path(self.config.hydra.sweep.dir) / "optimization_results.yaml"
        OmegaConf.save(OmegaConf.create(results), path)
