"""The loop of a sweep: ask the study for a trial, launch its jobs, tell it the result.

The loop of the stock plugin waits for the slowest job of every batch, and treats a pruned job as a
failed one.
"""

import logging
import random
import time
import uuid
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import NopPruner
from optuna.trial import Trial, TrialState

from pochitrain.sweep.application import Application
from pochitrain.sweep.heartbeat import REASON, Heartbeat
from pochitrain.sweep.launch import Launching
from pochitrain.sweep.password import hide_in_config, hide_in_words, hide_password
from pochitrain.sweep.patience import StorageLostError, hurry
from pochitrain.sweep.private_api import BASIC_LAUNCHER
from pochitrain.sweep.private_job import remember_composition
from pochitrain.sweep.sampler import complete_grid, is_grid
from pochitrain.sweep.settings import SweepSettings
from pochitrain.sweep.stop import next_step, stop_on_sigterm
from pochitrain.sweep.storage import JOURNAL, open_storage, require_reachable, resolve_storage
from pochitrain.sweep.study import StudyWork, limit_to_grid, open_study
from pochitrain.sweep.trial_result import TrialResult, read_result
from pochitrain.sweep.trial_task import StudyAddress, TrialTask, forget_trials, share_trials
from pochitrain.sweep.worker import ProcessLauncher, threads_per_trial

log = logging.getLogger(__name__)

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 15.0
"""Pauses between two looks at the study, while other searches run what is missing."""


class SweepDriver:
    """Runs one sweep, from the overrides of the command line to the results."""

    def __init__(
        self,
        settings: SweepSettings,
        application: Application,
        context: HydraContext,
        task_function: TaskFunction,
        config: DictConfig,
    ) -> None:
        self.settings = settings
        self.application = application
        self.context = context = remember_composition(context)
        hide_in_config(config)
        hide_in_words(config.hydra.overrides)
        self.config = config
        self.token = uuid.uuid4().hex[:12]
        if len(settings.directions) > 1 and not isinstance(settings.pruner, NopPruner):
            log.info("Pruning is off: Optuna prunes only studies with one objective.")
            settings.pruner = NopPruner()
        self.address = StudyAddress(
            self.token,
            pruner=settings.pruner,
            num_repeats=application.num_repeats,
            reports=len(settings.directions) == 1,
            output_file=application.output_file,
        )
        self.pause_s = 0.0
        """Last pause while other searches run what is missing."""
        self.task_function = TrialTask(task_function, self.address)
        self.launcher = self.build_launcher()
        is_basic = config.hydra.launcher._target_ == BASIC_LAUNCHER
        self.uses_workers = (
            is_basic and settings.n_jobs > 1 and application.prepare_worker is not None
        )
        self.is_here = is_basic and not self.uses_workers
        """Whether jobs run in this process."""
        application.setup(config, context, settings)

    def sweep(self, arguments: list[str]) -> None:
        """Run trials until the study has its total number; an error ends the sweep early."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        work = self.open([hide_password(word) for word in arguments])
        with stop_on_sigterm(next_step(work.is_resumable)), Heartbeat(work.watch):
            if work.is_resumable:
                work.folder = self.application.open_directory(work.study, work.is_new)
            work.begin()
            self.application.began(work)
            try:
                self.run_trials(work)
            except BaseException as error:
                self.stopped(error, work)
                raise
            finally:
                forget_trials(self.token)
            work.end()
        self.application.ended(work)

    def stopped(self, error: BaseException, work: StudyWork) -> None:
        """Tell the application. A storage that is away does not hide why the sweep ends."""
        try:
            self.application.stopped(error, work)
        except StorageLostError:
            if isinstance(error, Exception):
                raise

    def open(self, arguments: list[str]) -> StudyWork:
        """Check the settings and the search space, then make or load the study."""
        settings, application = self.settings, self.application
        space = application.read_space(arguments)
        sampler = settings.sampler
        if is_grid(sampler):
            points = space.grid()
            sampler = complete_grid(sampler, points)
            limit_to_grid(settings, points)
        url = resolve_storage(settings.storage, f"{application.key}.storage")
        if not self.is_here:
            require_reachable(url, f"{application.key}.storage")
        is_resumable = url is not None
        folder = Path()  # that of a stored study is found with the study
        if not is_resumable:
            folder = application.open_directory(None, True)
            if not self.is_here and not isinstance(settings.pruner, NopPruner):
                url = f"{JOURNAL}{self.make_journal(folder)}"
        self.storage = open_storage(url, f"{application.key}.storage")
        study, is_new = open_study(settings, sampler, self.storage, application.key)
        application.check_study(study)
        self.address.storage, self.address.study_name = url, study.study_name
        return StudyWork(study, settings, space, self.token, url, is_resumable, is_new, folder)

    def make_journal(self, folder: Path) -> Path:
        """A new journal file for a study in memory, so that jobs in other processes can report."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder.absolute() / "optuna.journal"
        return path.with_stem(f"optuna_{self.token}") if path.exists() else path

    def build_launcher(self) -> Any:
        """The launcher of the config."""
        return Plugins.instance().instantiate_launcher(
            config=self.config, hydra_context=self.context, task_function=self.task_function
        )

    def make_launcher(self) -> Any:
        """The launcher of the config, or one with worker processes.

        It is built again, because it remembers paths in the directory, which was not known before.
        """
        if not self.uses_workers or self.application.prepare_worker is None:
            return self.launcher if self.is_here else self.build_launcher()
        num_workers = self.settings.n_jobs
        launcher = ProcessLauncher(
            num_workers, threads_per_trial(num_workers), self.application.prepare_worker
        )
        launcher.setup(
            hydra_context=self.context, task_function=self.task_function, config=self.config
        )
        return launcher

    def run_trials(self, work: StudyWork) -> None:
        """Keep `n_jobs` trials running until the study has its total number."""
        width = 1 if self.is_here else self.settings.n_jobs
        here = share_trials(self.token) if self.is_here else {}
        running: dict[Future[list[JobReturn]], Trial] = {}
        with Launching(self.make_launcher(), self.is_here) as launching:
            try:
                while True:
                    while len(running) < width and (trial := work.ask()) is not None:
                        here[trial.number] = trial
                        jobs = self.application.jobs(trial, work.space.suggest(trial))
                        first = trial.number * self.application.num_repeats
                        running[launching.submit(jobs, first)] = trial
                    if not running:
                        if self.is_over(work):
                            return
                        continue
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        trial = running.pop(future)
                        self.finish(trial, read_result(future, work.study.directions), work)
                        del here[trial.number]
            except BaseException as error:
                if not isinstance(error, Exception):
                    hurry(self.storage)  # Ctrl+C
                with suppress(StorageLostError):
                    for trial in here.values():
                        work.give_up(trial, error)
                raise

    def is_over(self, work: StudyWork) -> bool:
        """Whether nothing is left to do; waits a moment while other searches run what is missing.

        Waiting, and not leaving, is what completes the study if one of them is killed.
        """
        missing = work.num_elsewhere()
        if missing == 0:
            return True
        if not self.pause_s:
            self.application.waiting(missing)
        self.pause_s = min(LONGEST_WAIT_S, 2 * self.pause_s or FIRST_WAIT_S)
        time.sleep(self.pause_s * random.uniform(0.5, 1.0))
        return False

    def finish(self, trial: Trial, result: TrialResult, work: StudyWork) -> None:
        """Tell the study and the application the result of a trial."""
        # If this process was suspended, another search may have taken the trial for a dead one's.
        with suppress(UpdateFinishedTrialError):
            if result.state == TrialState.FAIL:
                work.num_failed += 1
                trial.set_user_attr(REASON, result.reason)
            work.study.tell(trial, result.values, state=result.state, skip_if_finished=True)
        self.application.trial_finished(trial, result, work)
        result.forget_error()
