"""`resume=RUN` and `resume=auto`: find the run, its config and its newest readable checkpoint."""

import re
import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from pochitrain.command import typed_command
from pochitrain.config.resume import combine, names, same_run
from pochitrain.config.root import validate
from pochitrain.data.dataset import DataSplits, fingerprint
from pochitrain.engine.checkpoint import (
    earlier_checkpoints,
    link,
    load_checkpoint,
    restore_callback_states,
)
from pochitrain.engine.trainer import Trainer
from pochitrain.error import ConfigError, Interrupted, PochiError, cannot_access
from pochitrain.run.directory import collect_versions, requested_directory, tell_hydra
from pochitrain.run.status import is_finished, is_locked, write_status
from pochitrain.text import first_line, quote_override


@dataclass
class ResumedRun:
    """A run that goes on."""

    folder: Path
    cfg: DictConfig
    warnings: list[str]
    """Warnings to show."""
    checkpoint: dict[str, Any] | None
    """None where the run ended before its first one: it begins anew, in the same directory."""
    source: Path | None = None
    """The file it was read from."""

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to do, not even the graphs."""
        saved = self.checkpoint
        if saved is None or not is_finished(self.folder):
            return False
        return saved["stop_reason"] is not None or saved["epoch"] >= self.cfg.epochs

    @property
    def best_value(self) -> float | None:
        assert self.checkpoint is not None
        best = self.checkpoint["best"]
        return None if best is None else float(best["value"])

    def describe(self) -> str:
        """One sentence for the terminal."""
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


def find_run(cfg: DictConfig, warnings: list[str], console: Console) -> ResumedRun | None:
    """The run that `cfg.resume` means; None to start a new one.

    Raises:
        ConfigError: for something that is no run, or overrides that would make it another run.
    """
    if cfg.resume is None:
        return None
    sweep = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
    if cfg.resume == "auto":
        folder = find_newest(cfg, take_finished=sweep)
        if folder is None:
            console.print("resume=auto: no unfinished run of this config; starting a new one.")
            return None
        found = ResumedRun(folder, cfg, warnings, *newest_checkpoint(folder, warnings))
    else:
        if sweep:
            raise ConfigError(
                f"resume must be null or auto in a sweep, whose jobs are runs of their own, "
                f"got {cfg.resume!r}."
            )
        folder = require_run(Path(cfg.resume))
        effective = combined_config(folder, cfg)
        warnings = validate(effective)
        found = ResumedRun(folder, effective, warnings, *newest_checkpoint(folder, warnings))
    warn_of_differences(found)
    console.print(found.describe(), markup=False)
    return found


def find_newest(cfg: DictConfig, take_finished: bool) -> Path | None:
    """The newest run of this config that nobody works on.

    In a sweep (`take_finished`) a finished run is that of a finished job, which need not run again.
    Names decide what is newest: YYYYMMDD_NNN counts up even if the clock goes backwards in a day.
    """
    parent, explicit = requested_directory(cfg)
    folders = [explicit] if explicit is not None else list_folders(parent)
    wanted: Any = OmegaConf.to_container(cfg, resolve=True)
    named = named_by_command()
    for folder in folders:
        if not (folder / "config.yaml").is_file():
            continue
        if is_finished(folder) and not take_finished:
            continue
        try:
            saved = load_config(folder)
        except ConfigError:  # of another program, or damaged: no reason not to train
            continue
        if same_run(saved, wanted, named) and not is_locked(folder):
            return folder
    return None


def list_folders(parent: Path) -> list[Path]:
    """Folders below `parent`, newest name first; numbers count as numbers."""
    if not parent.is_dir():
        return []

    def order(path: Path) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdigit() else (0, part) for part in split(path.name)]

    def split(name: str) -> list[str]:
        return [part for part in re.split(r"(\d+)", name) if part]

    return sorted((path for path in parent.iterdir() if path.is_dir()), key=order, reverse=True)


def require_run(folder: Path) -> Path:
    if folder.suffix == ".pth" and folder.parent.name == "models":
        folder = folder.parent.parent
    if not (folder / "config.yaml").is_file():
        raise ConfigError(
            f"resume must be auto or a run directory (one with a config.yaml), got {str(folder)!r}."
        )
    if is_locked(folder):
        raise ConfigError(
            f"resume must be a run that nobody works on, got {str(folder)!r}, which another "
            "process is training."
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
        raise ConfigError(f"Cannot read {folder / 'config.yaml'} ({first_line(error)}).") from None
    if not isinstance(content, dict) or "epochs" not in content:
        raise ConfigError(f"{folder / 'config.yaml'} is not the config of a run.")
    return {str(key): value for key, value in content.items()}


def combined_config(folder: Path, cfg: DictConfig) -> DictConfig:
    """The config of the run, with the harmless overrides of this command."""
    wanted: Any = OmegaConf.to_container(cfg, resolve=True)
    effective = OmegaConf.create(combine(load_config(folder), wanted, named_by_command()))
    OmegaConf.set_struct(effective, True)
    assert isinstance(effective, DictConfig)
    return effective


def named_by_command() -> Callable[[tuple[str, ...]], bool]:
    """Whether an override of this command is about the value at a path."""
    if not HydraConfig.initialized():
        return names([], {})
    node: Any = HydraConfig.get()
    aliases = {str(key): str(value) for key, value in (node.get("aliases") or {}).items()}
    return names(list(node.overrides.task), aliases)


def newest_checkpoint(
    folder: Path, warnings: list[str]
) -> tuple[dict[str, Any] | None, Path | None]:
    """The newest checkpoint that can be read; `warnings` gets a line for each that cannot.

    Raises:
        ConfigError: if there are some but none can be read.
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
            at = f"{content['epoch']} epochs"
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
    """Note what makes the rest of the run differ in its last bits, though nobody asked for it."""
    if found.checkpoint is None:
        return
    before, now = found.checkpoint["versions"], collect_versions()
    changed = [
        f"{name} {before.get(name)} -> {now[name]}" for name in now if before.get(name) != now[name]
    ]
    if changed:
        found.warnings.append(
            f"Not the versions that the run began with ({', '.join(changed)}): the result can "
            "differ in its last bits."
        )


def reopen(found: ResumedRun) -> Path:
    """The directory of the run, which Hydra then takes for its own."""
    tell_hydra(found.folder)
    return found.folder


def restore(found: ResumedRun, trainer: Trainer, data: DataSplits) -> None:
    """Bring everything back to where the checkpoint was written.

    Raises:
        ConfigError: if the images are not those of the run.
    """
    models = found.folder / "models"
    for leftover in models.glob(".*.tmp"):  # of a process that was killed while it wrote
        leftover.unlink(missing_ok=True)
    saved = found.checkpoint
    if saved is None:
        return
    if saved["data"] != fingerprint(data):
        raise ConfigError(
            f"data must hold the pictures that the run began with, got others (now "
            f"{len(data.train):,} for training). Put the data set back as it was, or start a new "
            "run without resume=."
        )
    state = trainer.state
    restore_callback_states(trainer.callbacks, saved["callbacks"])
    state.load_state_dict(saved)
    trainer.checkpoints.written_step = state.step
    assert found.source is not None
    if found.source != models / "last.pth":
        # In the place of the damaged one, or the next checkpoint would keep that and drop this.
        link(found.source, models / "last.pth")
    elif state.best is not None and state.best.epoch == state.epoch and state.batch == 0:
        link(found.source, models / "best.pth")  # in case it was killed between the two


@contextmanager
def report_end(folder: Path, cfg: DictConfig, trainer: Trainer) -> Iterator[None]:
    """Keep status.json true, and add to every expected end the command that continues the run."""
    state, request = trainer.state, trainer.stop_request

    def note(status: str) -> None:
        with suppress(OSError):  # a full disk, most likely what failed in the first place
            write_status(folder, status, state)

    try:
        write_status(folder, "running", state)
        yield
    except Interrupted as error:
        note("interrupted")
        raise Interrupted(f"{error}\n{how_to_continue(folder, cfg)}", error.exit_code) from None
    except KeyboardInterrupt:
        note("interrupted")
        request.signal = request.signal or signal.SIGINT
        stopped = request.error("at once")
        raise Interrupted(f"{stopped}\n{how_to_continue(folder, cfg)}", stopped.exit_code) from None
    except (PochiError, OSError) as error:
        note("failed")
        if isinstance(error, ConfigError):
            raise
        if not folder.is_dir():
            raise PochiError(
                f"The run directory {folder} is gone: it was deleted, moved or unmounted while the "
                "run was writing to it. Nothing of this run can be saved."
            ) from error
        if not (folder / "config.yaml").is_file():
            raise
        text = cannot_access(error) if isinstance(error, OSError) else str(error)
        kind = type(error) if isinstance(error, PochiError) else PochiError
        raise kind(f"{text}\n{how_to_continue(folder, cfg)}") from error
    except Exception:
        note("failed")
        raise


def how_to_continue(folder: Path, cfg: DictConfig) -> str:
    """The command that goes on with this run, or with the sweep that it is part of."""
    words, typed = typed_command()
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        rest = [word for word in typed if not word.startswith("resume=")]
        # Among the overrides: Hydra wants them in one piece, with the flags before or after.
        first = next(
            (i for i, w in enumerate(rest) if "=" in w and not w.startswith("-")), len(rest)
        )
        words = [*words, *rest[:first], "resume=auto", *rest[first:]]
    else:
        words = [*words, f"resume={quote_override(str(folder))}"]
        if cfg.allow_targets:
            words.append(f"allow_targets=[{','.join(cfg.allow_targets)}]")
    return f"To continue: {shlex.join(words)}"
