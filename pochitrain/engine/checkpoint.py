"""Checkpoints: what is in one, when it is written, and how it is read back.

A checkpoint is a dict of tensors and plain values, so `torch.load(weights_only=True)` reads it and
no code in it can run:

    format          version of this layout
    model, optimizer, scheduler, scaler, random, epoch, batch, step, sums, history, best,
    stop_reason     as TrainState
    callbacks       memory of each callback, by name
    class_names, transforms, config, versions, monitor
"""

import os
import pickle
import shutil
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from pochitrain.atomic import sync_directory, write_with
from pochitrain.engine.callback import Callback
from pochitrain.engine.state import TrainState
from pochitrain.error import ConfigError

FORMAT = 1


@dataclass
class CheckpointWriter:
    """Writes `last.pth` and `best.pth` into a folder."""

    folder: Path
    facts: dict[str, Any]
    """What stays the same in a run: class_names, transforms, config, versions."""
    every_epochs: int = 1
    every_steps: int | None = None
    every_minutes: float | None = None
    written: float = field(default_factory=time.monotonic)
    written_step: int = 0

    def end_of_epoch(self, state: TrainState, callbacks: Sequence[Callback]) -> None:
        """Save if it is time, if the epoch is the best, or if it is the last."""
        final = state.epoch >= state.epochs or state.stop_reason is not None
        if state.epoch % self.every_epochs and not final and not state.is_best:
            return
        last = self.save_last(state, callbacks)
        if state.is_best:
            link(last, self.folder / "best.pth")

    def in_mid_epoch(self, state: TrainState, callbacks: Sequence[Callback]) -> None:
        """Save if `every_steps` or `every_minutes` have passed."""
        steps = self.every_steps is not None and state.step - self.written_step >= self.every_steps
        minutes = (time.monotonic() - self.written) / 60
        due = steps or (self.every_minutes is not None and minutes >= self.every_minutes)
        if due:
            self.save_last(state, callbacks)

    def save_last(self, state: TrainState, callbacks: Sequence[Callback]) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        content = {
            "format": FORMAT,
            **self.facts,
            **state.state_dict(),
            "monitor": state.monitor.metric,
            "callbacks": {callback_name(c): c.state_dict() for c in callbacks},
        }
        path = self.folder / "last.pth"
        write_with(path, lambda file: torch.save(content, file))
        self.written, self.written_step = time.monotonic(), state.step
        return path


def callback_name(callback: Callback) -> str:
    return type(callback).__name__


def link(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`, atomically and without writing it again.

    Checkpoints are replaced, never changed, so sharing one file on disk is safe.
    """
    temporary = target.with_name(f".{target.name}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, temporary)
    os.replace(temporary, target)
    sync_directory(target.parent)


def load_checkpoint(path: str | Path, device: str | torch.device = "cpu") -> dict[str, Any]:
    """Read a checkpoint; nothing in it is executed.

    Raises:
        ConfigError: no such file, truncated, another format, or pickled code inside.
    """
    file = Path(path)
    if not file.is_file():
        raise ConfigError(f"The checkpoint must be a file, got {str(path)!r}, which is not there.")
    try:
        content = torch.load(file, map_location=device, weights_only=True)
    except pickle.UnpicklingError as error:
        raise ConfigError(
            f"The checkpoint {file} holds pickled code or is damaged; it is not loaded "
            f"({str(error).splitlines()[0]})."
        ) from None
    except (RuntimeError, EOFError, OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        text = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"The checkpoint {file} is damaged or truncated ({text}).") from None
    if not isinstance(content, dict) or "format" not in content:
        raise ConfigError(f"{file} is not a checkpoint of pochitrain (no format version in it).")
    if content["format"] != FORMAT:
        raise ConfigError(
            f"The checkpoint {file} has format {content['format']!r}, this version reads {FORMAT}. "
            "Use the version of pochitrain that wrote it (see its `versions`)."
        )
    return content
