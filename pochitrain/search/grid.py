"""`--multirun` without a search: Hydra's grid, with all jobs checked before the first starts."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict, read_write

from pochitrain.config.root import refuse_number_for_switch, validate
from pochitrain.error import ConfigError, Interrupted
from pochitrain.paths import list_folders
from pochitrain.search.directory import missing_directories, remove_empty
from pochitrain.search.launcher import refuse_launcher_of_file
from pochitrain.sweep.private_api import BASIC_LAUNCHER, BasicSweeper
from pochitrain.sweep.private_loader import remember_composition
from pochitrain.sweep.stop import stop_on_sigterm

RESUME = "The same command with resume=auto goes on with them."
RECORD = "multirun.yaml"
"""Hydra's record of a grid, written before its first job."""


@dataclass
class GridJob:
    """A job of a grid."""

    overrides: list[str]
    cfg: DictConfig
    """Its composed config, without the `hydra` node."""
    aliases: dict[str, str]
    """hydra.aliases"""
    parent: Path
    """The directory of the sweep, in which its run is."""
    subdir: str
    """Its run directory there, if that was given; else "."."""

    def folders(self) -> list[Path]:
        """Where its run can be, newest first."""
        return list_folders(self.parent) if self.subdir == "." else [self.parent / self.subdir]


class WholeBasicSweeper(BasicSweeper):
    """Hydra's basic sweeper, which checks all jobs before the first one starts."""

    after: ClassVar[Callable[[list[GridJob]], None] | None] = None
    """Called with all jobs when they have ended well."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
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
            ConfigError: for an empty range or a job with a wrong config; no files are left behind.
        """
        assert self.config is not None and self.hydra_context is not None
        refuse_empty_sweeps(arguments, self.hydra_context.config_loader)
        self.jobs: list[GridJob] = []
        with restoring_when_refused(Path(self.config.hydra.sweep.dir)):
            returned = super().sweep(arguments) if self.is_here else self.sweep_outside(arguments)
        if WholeBasicSweeper.after is not None:
            WholeBasicSweeper.after(self.jobs)
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

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Check a batch of jobs; the basic sweeper calls this before it launches them.

        Raises:
            ConfigError: for the first job with a wrong config.
        """
        assert self.config is not None and self.hydra_context is not None
        for overrides in batch:
            job = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
            with read_write(job), open_dict(job):
                job.hydra.job.num = len(self.jobs)
                job.hydra.job.id = str(len(self.jobs))
                node = job.hydra
                aliases = {str(key): str(value) for key, value in (node.aliases or {}).items()}
                place = (Path(node.sweep.dir), str(node.sweep.subdir))
                del job["hydra"]
            self.jobs.append(GridJob(list(overrides), job, aliases, *place))
            refuse_number_for_switch(overrides, job)
            validate(job)


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
