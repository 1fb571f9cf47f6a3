"""`--multirun` without a search: Hydra's grid, with all jobs checked before the first starts."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict, read_write

from pochitrain.config.root import refuse_number_for_switch, validate
from pochitrain.error import ConfigError
from pochitrain.search.directory import missing_directories, remove_empty
from pochitrain.sweep.private_api import BasicSweeper, remember_composition

RECORD = "multirun.yaml"
"""Hydra's record of a grid, written before its first job."""


class WholeBasicSweeper(BasicSweeper):
    """Hydra's basic sweeper, which checks all jobs before the first one starts."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        super().setup(
            hydra_context=remember_composition(hydra_context),
            task_function=task_function,
            config=config,
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Run all combinations.

        Raises:
            ConfigError: for an empty range or a job with a wrong config; no files are left behind.
        """
        assert self.config is not None and self.hydra_context is not None
        refuse_empty_sweeps(arguments, self.hydra_context.config_loader)
        with restoring_when_refused(Path(self.config.hydra.sweep.dir)):
            return super().sweep(arguments)

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Check a batch of jobs; the basic sweeper calls this before it launches them.

        Raises:
            ConfigError: for the first job with a wrong config.
        """
        assert self.config is not None and self.hydra_context is not None
        for overrides in batch:
            job = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
            with read_write(job), open_dict(job):
                del job["hydra"]
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
