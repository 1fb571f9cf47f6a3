"""`--multirun` without a search: Hydra's grid, with all jobs checked before the first starts."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict, read_write

from pochitrain.config.data_place import require_places
from pochitrain.config.environment import refuse_environment_of_file
from pochitrain.config.root import find_all_mistakes, refuse_number_for_switch
from pochitrain.config.validators import raised
from pochitrain.error import ConfigError, Interrupted
from pochitrain.manner import be_quiet
from pochitrain.paths import list_folders
from pochitrain.search.directory import missing_directories, remove_empty
from pochitrain.search.launcher import refuse_launcher_of_file
from pochitrain.search.preflight import Mistakes, choose_jobs
from pochitrain.sweep.private_api import BASIC_LAUNCHER, LAUNCHER_LOGS, BasicSweeper
from pochitrain.sweep.private_job import load_job, remember_composition
from pochitrain.sweep.stop import stop_on_sigterm

RESUME = "The same command with resume=auto goes on with them."
RECORD = "multirun.yaml"
"""Hydra's record of a grid, written before its first job."""


FOLD_KEY = "data.fold"
"""The key that a cross-validation varies."""
MOST = 1_000
"""So many jobs are checked before the first starts; each takes about a hundredth of a second."""


class GridJob:
    """A job of a grid."""

    def __init__(
        self, master: DictConfig, loader: ConfigLoader, overrides: list[str], number: int
    ) -> None:
        """
        Args:
            master: the config of the sweep.
            overrides: of this job.
        """
        self.overrides = overrides
        job = loader.load_sweep_config(master, overrides)
        with read_write(job), open_dict(job):
            node = job.hydra
            node.job.num, node.job.id = number, str(number)
            self.aliases = {str(key): str(value) for key, value in (node.aliases or {}).items()}
            """hydra.aliases"""
            self.parent = Path(node.sweep.dir)
            """The directory of the sweep, in which its run is."""
            self.subdir = str(node.sweep.subdir)
            """Its run directory there, if that was given; else "."."""
            del job["hydra"]
        self.cfg = job
        """Its composed config, without the `hydra` node."""

    def folders(self) -> list[Path]:
        """Where its run can be, newest first."""
        return list_folders(self.parent) if self.subdir == "." else [self.parent / self.subdir]


class WholeBasicSweeper(BasicSweeper):
    """Hydra's basic sweeper, which checks all jobs before the first one starts."""

    after_folds: ClassVar[Callable[[list[GridJob]], None] | None] = None
    """Called with all jobs of a grid over folds when they have ended well."""
    explain: ClassVar[Callable[[Exception], ConfigError | None]] = staticmethod(
        lambda error: error if isinstance(error, ConfigError) else None
    )
    """Turns an error into a message for the person; None for errors of the program."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        if config.get("quiet") is True:
            be_quiet()
            for name in LAUNCHER_LOGS:  # a line per job
                logging.getLogger(name).setLevel(logging.WARNING)
        refuse_launcher_of_file(config)
        super().setup(
            hydra_context=remember_composition(hydra_context),
            task_function=task_function,
            config=config,
        )
        self.is_here = config.hydra.launcher._target_ == BASIC_LAUNCHER
        if not self.is_here:
            from pochitrain.sweep.launch import StoppableLauncher

            assert self.launcher is not None
            self.launcher = StoppableLauncher(self.launcher)

    def sweep(self, arguments: list[str]) -> Any:
        """Run all combinations.

        Raises:
            ConfigError: for an empty range, and for jobs with a wrong config: all of them at once.
                No files are left behind.
        """
        assert self.config is not None and self.hydra_context is not None
        loader = self.hydra_context.config_loader
        words = [*self._parse_config(), *arguments]
        refuse_empty_sweeps(words, loader)
        parsed = OverridesParser.create(config_loader=loader).parse_overrides(words)
        jobs = list(chain.from_iterable(self.split_arguments(parsed, self.max_batch_size)))
        self.check(jobs)
        with restoring_when_refused(Path(self.config.hydra.sweep.dir)):
            returned = super().sweep(arguments) if self.is_here else self.sweep_outside(arguments)
        if WholeBasicSweeper.after_folds is not None and any(map(is_fold, chain(*jobs))):
            done = [GridJob(self.config, loader, job, i) for i, job in enumerate(jobs)]
            WholeBasicSweeper.after_folds(done)
        return returned

    def sweep_outside(self, arguments: list[str]) -> Any:
        """Run all combinations with a launcher whose jobs are in other processes.

        Raises:
            Interrupted: after Ctrl+C or SIGTERM, when the jobs have been ended.
        """
        launcher: Any = self.launcher
        try:
            with stop_on_sigterm(RESUME), launcher:
                return super().sweep(arguments)
        except KeyboardInterrupt as error:
            code = getattr(error, "exit_code", 130)
            raise Interrupted(f"The sweep was stopped, and its jobs too. {RESUME}", code) from None

    def check(self, jobs: Sequence[list[str]]) -> None:
        """Compose and check jobs; `MOST` of them if there are more (see `choose_jobs`).

        Raises:
            ConfigError: with all mistakes.
        """
        from pochitrain.console import open_console  # loads rich
        from pochitrain.data.progress import WaitDisplay

        chosen = choose_jobs(list(zip(*jobs, strict=True)), MOST)
        mistakes = Mistakes()
        with WaitDisplay("Checking jobs", len(chosen)) as display:
            for job in chosen:
                mistakes.check(job, self.find_mistakes(list(job)))
                display.advance()
        if mistakes.found:
            raise ConfigError(explain_mistakes(mistakes))
        if len(chosen) < len(set(map(tuple, jobs))):
            open_console().print(
                f"Checked {len(chosen):,} of {len(jobs):,} jobs: those with every value once, and "
                "others at random. The rest is checked when it starts."
            )

    def find_mistakes(self, overrides: list[str]) -> list[str]:
        """What is wrong with a job."""
        assert self.config is not None and self.hydra_context is not None
        loader = self.hydra_context.config_loader
        try:
            cfg, node = load_job(loader, self.config, overrides)
            refuse_environment_of_file(node)
            refuse_number_for_switch(overrides, cfg)
        except Exception as error:
            explained = WholeBasicSweeper.explain(error)
            if explained is None:
                raise
            return [str(explained)]
        found = list(find_all_mistakes(cfg))
        if not found and cfg.resume is None:
            found = raised(require_places, cfg.data)
        return [str(error) for error in found]

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Nothing: `check` was before. The basic sweeper calls this before it launches a batch."""


def is_fold(override: str) -> bool:
    return override.lstrip("+").partition("=")[0] == FOLD_KEY


def explain_mistakes(mistakes: Mistakes) -> str:
    """The message for jobs of a grid that cannot run."""
    if len(mistakes.found) > 1:
        return mistakes.describe(
            lambda wrong, all_jobs: f"{wrong:,} of {all_jobs:,} jobs cannot run; none was started:"
        )
    ((text, jobs),) = mistakes.found.items()
    if len(jobs) == len(mistakes.jobs):
        return text
    return (
        f"{text} ({len(jobs):,} of {len(mistakes.jobs):,} jobs, {mistakes.where(jobs)}; none was "
        "started.)"
    )


def refuse_empty_sweeps(arguments: list[str], loader: ConfigLoader) -> None:
    """Refuse a sweep without values, which would run no job and look like a success."""
    for override in OverridesParser.create(config_loader=loader).parse_overrides(arguments):
        if override.is_discrete_sweep() and next(override.sweep_string_iterator(), None) is None:
            raise ConfigError(
                f"{override.get_key_element()} must have at least one value, got "
                f"{override.get_value_string()}, which has none. range(start,stop) leaves stop "
                "out; to count down give a step: range(5,0,-1)."
            )


@contextmanager
def restoring_when_refused(folder: Path) -> Iterator[None]:
    """Restore `folder` if the block fails before any run was made."""
    record = folder / RECORD
    before = record.read_bytes() if record.is_file() else None
    missing = missing_directories(folder)
    content = set(folder.iterdir()) if folder.is_dir() else set()
    try:
        yield
    except BaseException:
        if folder.is_dir() and set(folder.iterdir()) - {record} == content - {record}:
            if before is None:
                record.unlink(missing_ok=True)
            else:
                record.write_bytes(before)
            remove_empty(missing)
        raise
