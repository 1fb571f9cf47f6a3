"""Finds the run to resume, its config and its newest readable checkpoint."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from pochitrain.config.root import validate
from pochitrain.config.strategy import CHOSEN_BY_RUN
from pochitrain.config.transform import AUTO_KEYS
from pochitrain.console import PrintableConsole
from pochitrain.engine.checkpoint import earlier_checkpoints, load_checkpoint
from pochitrain.error import ConfigError
from pochitrain.paths import list_folders
from pochitrain.ranks import launch_id, num_restarts
from pochitrain.run.directory import METADATA, collect_versions, requested_directory, tell_hydra
from pochitrain.run.resume.config import (
    ABSENT,
    ADDED_TO_TRANSFORM,
    SET_BY_MODEL,
    KeyPath,
    combine_configs,
    complete_transform,
    is_same_run,
    match_overrides,
    recorded_choice,
)
from pochitrain.run.status import is_finished, is_locked
from pochitrain.text import first_line, read_object


@dataclass
class ResumedRun:
    """A run that an earlier command started and this one continues."""

    folder: Path
    cfg: DictConfig
    """The config to continue with: the saved one, with changes by this command."""
    warnings: list[str]
    checkpoint: dict[str, Any] | None
    """None if none was written: the run starts over in the same directory."""
    source: Path | None = None
    """The file that the checkpoint was read from."""

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do, including the graphs."""
        saved = self.checkpoint
        if saved is None or not is_finished(self.folder):
            return False
        return saved["stop_reason"] is not None or saved["epoch"] >= self.cfg.epochs

    @property
    def best_value(self) -> float | None:
        """The monitored metric in the best epoch so far; None without one."""
        assert self.checkpoint is not None
        best = self.checkpoint["best"]
        return None if best is None else float(best["value"])

    def open_directory(self) -> Path:
        """Make the directory of the run that of this command for Hydra too, and return it."""
        tell_hydra(self.folder)
        return self.folder

    def describe(self) -> str:
        """A sentence about what is resumed, for the terminal."""
        saved = self.checkpoint
        if saved is None:
            return f"Resuming {self.folder}, which has no checkpoint yet: from the beginning."
        where = f"{saved['epoch']} of {self.cfg.epochs} epochs"
        if self.is_done:
            reason = f" ({saved['stop_reason']})" if saved["stop_reason"] else ""
            longer = "" if reason else f" To train longer: resume={self.folder} epochs=N."
            return f"{self.folder} is finished: {where}{reason}.{longer}"
        batch = f" and {saved['batch']} batches" if saved["batch"] else ""
        return f"Resuming {self.folder} after {where}{batch}."


def find_run(cfg: DictConfig, warnings: list[str], console: PrintableConsole) -> ResumedRun | None:
    """The run that `cfg.resume` selects, printed on `console`; None to start a new one.

    A process that torchrun has started again (`--max-restarts`), or a job that a scheduler has,
    goes on with the run that it began.

    Raises:
        ConfigError: if it is not a run, or overrides set keys that may not change.
    """
    sweep = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
    is_again = cfg.resume is None and num_restarts() > 0
    is_requeued = cfg.resume is None and sweep and was_requeued(cfg)
    is_auto = cfg.resume == "auto" or is_requeued or is_again
    if cfg.resume is None and not is_auto:
        return None
    if is_auto:
        newest = find_newest(cfg, take_finished=sweep, launch=launch_id() if is_again else None)
        if newest is None:
            why = "started again, before there was a run" if is_again else "resume=auto"
            console.print(f"{why}: no unfinished run of this config; starting a new one.")
            return None
        folder, cfg = newest
        for key, value in recorded_choice(load_config(folder), overrides_of_command()).items():
            OmegaConf.update(cfg, key, value)
        found = ResumedRun(folder, cfg, warnings, *newest_checkpoint(folder, warnings))
    else:
        if sweep:
            raise ConfigError(
                f"resume must be null or auto in a sweep, whose jobs are runs of their own, "
                f"got {cfg.resume!r}."
            )
        folder = require_run(Path(cfg.resume))
        effective = resumed_config(folder, cfg)
        warnings = validate(effective)
        found = ResumedRun(folder, effective, warnings, *newest_checkpoint(folder, warnings))
    warn_of_differences(found)
    console.print(found.describe(), markup=False)
    return found


def was_requeued(cfg: DictConfig) -> bool:
    """Whether this job of a sweep has begun before, and its machine was taken from it or died.

    SLURM says so. A job of a search is known by its directory, which no other job gets.
    """
    if int(os.environ.get("SLURM_RESTART_COUNT") or 0):
        return True
    folder = requested_directory(cfg)[1]
    if not cfg.optuna.enabled or folder is None:
        return False
    return (folder / "config.yaml").is_file()


def find_newest(
    cfg: DictConfig, take_finished: bool, launch: str | None = None
) -> tuple[Path, DictConfig] | None:
    """The newest run of this config that no other process is training; None if there is none.

    Returns:
        The run, and `cfg` with the values that the run has chosen for what is `auto`.

    Newest by name: YYYYMMDD_NNN increases even if the clock is set back within a day.

    Args:
        take_finished: include finished runs; in a sweep, such a job need not run again.
        launch: only a run that was begun by this start of torchrun.
    """
    parent, explicit = requested_directory(cfg)
    folders = [explicit] if explicit is not None else list_folders(parent)
    if launch is not None:
        folders = [f for f in folders if read_object(f / METADATA).get("launch") == launch]
    return search_folders(cfg, folders, overrides_of_command(), take_finished)


def search_folders(
    cfg: DictConfig,
    folders: Iterable[Path],
    is_overridden: Callable[[KeyPath], bool],
    take_finished: bool,
) -> tuple[Path, DictConfig] | None:
    """The first of `folders` that `find_newest` would take."""
    for folder in folders:
        if not (folder / "config.yaml").is_file():
            continue
        if is_finished(folder) and not take_finished:
            continue
        try:
            saved = load_config(folder)
        except ConfigError:  # damaged, or written by another program
            continue
        settled = take_chosen(cfg, saved)
        wanted: Any = OmegaConf.to_container(settled, resolve=True)
        same = is_same_run(complete_transform(saved, wanted), wanted, is_overridden)
        if same and not is_locked(folder):
            return folder, settled
    return None


def find_run_of(
    cfg: DictConfig, folders: Iterable[Path], overrides: Sequence[str], aliases: Mapping[str, str]
) -> Path | None:
    """The newest finished run of a job of a sweep, whose config is `cfg`.

    Args:
        folders: where it can be, newest first.
        overrides: of the job.
        aliases: hydra.aliases.
    """
    finished = (folder for folder in folders if is_finished(folder))
    found = search_folders(cfg, finished, match_overrides(overrides, aliases), take_finished=True)
    return None if found is None else found[0]


def require_run(folder: Path) -> Path:
    """The run directory at `folder`, or that of a checkpoint at `folder`.

    Raises:
        ConfigError: if it is not a run, or another process is training it.
    """
    if folder.suffix == ".pth" and folder.parent.name == "models":
        folder = folder.parent.parent
    if not (folder / "config.yaml").is_file():
        raise ConfigError(
            f"resume must be auto or a run directory (one with a config.yaml), got {str(folder)!r}."
        )
    if is_locked(folder):
        raise ConfigError(
            f"resume must be a run that is not being trained, got {str(folder)!r}, which another "
            "process is training. Stop that one first."
        )
    return folder


def load_config(folder: Path) -> dict[str, Any]:
    """The resolved config of a run.

    Raises:
        ConfigError: if the file is damaged.
    """
    try:
        content = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
    except Exception as error:  # YAML and OmegaConf have no common base class
        raise ConfigError(f"Cannot read {folder / 'config.yaml'} ({first_line(error)}).") from error
    if not isinstance(content, dict) or "epochs" not in content:
        raise ConfigError(f"{folder / 'config.yaml'} is not the config of a run.")
    return {str(key): value for key, value in content.items()}


def take_chosen(cfg: DictConfig, saved: Mapping[str, Any]) -> DictConfig:
    """A copy of `cfg` in which what is left open (auto, or a rate that is null) has the value that
    the run `saved` has."""
    settled = cfg.copy()
    chosen = OmegaConf.create(dict(saved))
    keys = dict.fromkeys(AUTO_KEYS, "auto") | {".".join(path): None for path in CHOSEN_BY_RUN}
    for key, is_open in keys.items():
        value = OmegaConf.select(chosen, key)
        there = OmegaConf.select(settled, key, default=ABSENT)
        if value is not None and there == is_open:
            OmegaConf.update(settled, key, value)
    keep_image_steps(settled, saved)
    return settled


def keep_image_steps(cfg: DictConfig, saved: Mapping[str, Any]) -> None:
    """Where the run `saved` is older than the keys by which a model changes the steps of the
    images, give `cfg` the values that it was trained with, unless the command sets them."""
    before, now = saved.get("transform"), cfg.get("transform")
    if not isinstance(before, Mapping) or not isinstance(now, DictConfig):
        return
    typed = {word.lstrip("+").partition("=")[0] for word in typed_overrides()}
    for key in SET_BY_MODEL:
        if key in now and key not in before and f"transform.{key}" not in typed:
            OmegaConf.update(now, key, ADDED_TO_TRANSFORM[key])


def typed_overrides() -> list[str]:
    """The overrides of this command."""
    if not HydraConfig.initialized():
        return []
    node: Any = HydraConfig.get()
    return [str(word) for word in node.overrides.task]


def resumed_config(folder: Path, cfg: DictConfig) -> DictConfig:
    """The config of the run with the overrides of this command.

    Raises:
        ConfigError: for an override of a key that may not change.
    """
    saved = load_config(folder)
    wanted: Any = OmegaConf.to_container(take_chosen(cfg, saved), resolve=True)
    saved = complete_transform(saved, wanted)
    effective = OmegaConf.create(combine_configs(saved, wanted, overrides_of_command()))
    OmegaConf.set_struct(effective, True)
    assert isinstance(effective, DictConfig)
    return effective


def overrides_of_command() -> Callable[[KeyPath], bool]:
    """A function that tells whether this command sets the value at a path."""
    if not HydraConfig.initialized():
        return match_overrides([], {})
    node: Any = HydraConfig.get()
    aliases = {str(key): str(value) for key, value in (node.get("aliases") or {}).items()}
    return match_overrides(typed_overrides(), aliases)


def newest_checkpoint(
    folder: Path, warnings: list[str]
) -> tuple[dict[str, Any] | None, Path | None]:
    """The newest readable checkpoint and its file; (None, None) if none was written.

    Args:
        warnings: a line is added for each checkpoint that cannot be read.

    Raises:
        ConfigError: if there are checkpoints, but none can be read.
    """
    models = folder / "models"
    earlier = earlier_checkpoints(models)
    there = [p for p in (models / "last.pth", *earlier, models / "best.pth") if p.exists()]
    for path in there:
        try:
            content = load_checkpoint(path)
        except ConfigError as error:
            warnings.append(str(error))
            continue
        if path != there[0]:
            at = f"{content['epoch']} epoch{'s' * (content['epoch'] != 1)}"
            at += f" and {content['batch']} batches" if content["batch"] else ""
            warnings.append(f"Going back to {path.name}, written after {at}.")
        return content, path
    if there:
        raise ConfigError(
            f"resume must be a run with a readable checkpoint, got {str(folder)!r}. "
            + " ".join(warnings)
        )
    return None, None


def warn_of_differences(found: ResumedRun) -> None:
    """Add a warning if package versions differ, which can change results in the last bits."""
    if found.checkpoint is None:
        return
    before, now = found.checkpoint["versions"], collect_versions()
    changed = [
        f"{name} {before.get(name)} -> {now[name]}" for name in now if before.get(name) != now[name]
    ]
    if changed:
        found.warnings.append(
            f"Package versions have changed since the run began ({', '.join(changed)}): the result "
            "can differ in its last bits."
        )
