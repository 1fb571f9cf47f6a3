"""Checkpoints: what is in one, when it is written, and how it is read back.

A checkpoint is a dict of tensors and plain values, so `torch.load(weights_only=True)` reads it and
no code in it can run:

    format          version of this layout
    model, optimizer, scheduler, scaler, random, epoch, batch, step, sums, history, best,
    stop_reason, num_microbatches, num_skipped
                    as TrainState
    callbacks       state of each callback, by name
    class_names, transforms, config, versions, monitor, precision, data

The folder holds `last.pth`, before it `last_1.pth`, `last_2.pth`, ... (`checkpoint.keep_last` files
together), and `best.pth`.
"""

import copy
import os
import pickle
import shutil
import threading
import time
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pochitrain.atomic import sync_directory, write_with
from pochitrain.engine.callback import Callback
from pochitrain.engine.state import TrainState
from pochitrain.error import ConfigError, PochiError
from pochitrain.text import first_line

FORMAT = 1
PLAIN = (bool, int, float, complex, str, bytes, torch.dtype, torch.device)
"""Types that `weights_only=True` reads back, besides None, tensors and containers."""


@dataclass
class CheckpointWriter:
    """Writes `last.pth` and `best.pth` into a folder, in a thread beside the training."""

    folder: Path
    metadata: dict[str, Any]
    """What is the same in every checkpoint of a run: class_names, transforms, config, ..."""
    every_epochs: int = 1
    every_steps: int | None = None
    every_minutes: float | None = None
    keep_last: int = 2
    in_background: bool = True
    """False: training waits until the file is on the disk."""
    written: float = field(default_factory=time.monotonic)
    """When the latest checkpoint was taken, in seconds of the monotonic clock."""
    written_step: int = 0
    """`state.step` of the latest checkpoint."""
    job: "WriteJob | None" = None
    """The write under way, or one whose result nobody has asked for yet."""

    def end_of_epoch(self, state: TrainState, callbacks: Sequence[Callback]) -> None:
        """Save if this epoch is due, the best so far, or the last."""
        final = state.epoch >= state.epochs or state.stop_reason is not None
        if state.epoch % self.every_epochs and not final and not state.is_best:
            return
        self.save_last(state, callbacks, best=state.is_best)

    def is_due(self, state: TrainState) -> bool:
        """Whether to save in the middle of an epoch: `every_steps` or `every_minutes` passed."""
        if self.every_steps is not None and state.step - self.written_step >= self.every_steps:
            return True
        minutes = (time.monotonic() - self.written) / 60  # not the wall clock, which people set
        return self.every_minutes is not None and minutes >= self.every_minutes

    def save_last(
        self, state: TrainState, callbacks: Sequence[Callback], *, best: bool = False
    ) -> None:
        """Copy the state now and write it; an earlier write is finished first.

        Args:
            best: also as `best.pth`.

        Raises:
            PochiError: if this or an earlier checkpoint cannot be written.
        """
        content = snapshot(
            {
                "format": FORMAT,
                **self.metadata,
                **state.state_dict(),
                "monitor": state.monitor.metric,
                "callbacks": callback_states(callbacks),
            }
        )
        self.finish()
        self.written, self.written_step = time.monotonic(), state.step
        self.job = WriteJob(lambda: self.write(content, best))
        if not self.in_background:
            self.finish()

    def write(self, content: dict[str, Any], best: bool) -> None:
        """Replace `last.pth` (and `best.pth`) atomically."""
        self.folder.mkdir(parents=True, exist_ok=True)
        last = self.folder / "last.pth"
        write_with(last, lambda file: torch.save(content, file), lambda: self.keep_earlier(last))
        if best:
            link(last, self.folder / "best.pth")

    def keep_earlier(self, last: Path) -> None:
        """Rename last_1.pth to last_2.pth and so on, and make last_1.pth a second name of last.pth.

        `last.pth` itself stays where it is until the new one takes its place.
        """
        names = [last, *(self.folder / f"last_{age}.pth" for age in range(1, self.keep_last))]
        for older, newer in reversed(list(zip(names[1:], names, strict=False))):
            if newer.exists():
                if newer == last:
                    link(last, older)
                else:
                    os.replace(newer, older)
        for path in earlier_checkpoints(self.folder):  # keep_last may have been larger once
            if path not in names:
                path.unlink()

    def finish(self) -> None:
        """Wait until what was saved is on the disk.

        Raises:
            PochiError: if it could not be written; what was there before is still complete.
        """
        if self.job is None:
            return
        job, self.job = self.job, None
        job.thread.join()
        # torch raises a RuntimeError for a full disk.
        if isinstance(job.error, (OSError, RuntimeError)):
            raise PochiError(cannot_write(self.folder / "last.pth", job.error)) from job.error
        if job.error is not None:
            raise job.error


class WriteJob:
    """A function that runs in a thread; its error is kept for the thread that waits for it."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self.run, name="checkpoint", daemon=True)
        self.thread.start()

    def run(self) -> None:
        try:
            self.work()
        except BaseException as error:
            self.error = error


def cannot_write(path: Path, error: BaseException) -> str:
    """The message for a checkpoint that could not be written."""
    root = first_os_error(error) or error
    reason = root.strerror if isinstance(root, OSError) and root.strerror else str(root)
    try:
        free = f", {shutil.disk_usage(path.parent).free / 1e6:,.0f} MB free there"
    except OSError:
        free = ""
    first = first_line(reason or error)
    before = " The one before it is complete." if path.exists() else ""
    return f"Cannot write the checkpoint {path} ({first}{free}).{before}"


def first_os_error(error: BaseException | None) -> OSError | None:
    """The error of the system behind `error`; torch raises a second one as it closes the file."""
    found = None
    while error is not None:
        found = error if isinstance(error, OSError) else found
        error = error.__cause__ or error.__context__
    return found


def callback_states(callbacks: Sequence[Callback]) -> dict[str, dict[str, Any]]:
    """State of each callback that has one, by name."""
    states = {
        name: callback.state_dict()
        for name, callback in zip(callback_names(callbacks), callbacks, strict=True)
    }
    return {name: state for name, state in states.items() if state}


def callback_names(callbacks: Sequence[Callback]) -> list[str]:
    """The class name of each; the second of a class gets `_2`, and so on."""
    kinds = [type(callback).__name__ for callback in callbacks]
    counts = [kinds[: i + 1].count(kind) for i, kind in enumerate(kinds)]
    return [
        kind if count == 1 else f"{kind}_{count}" for kind, count in zip(kinds, counts, strict=True)
    ]


def restore_callback_states(
    callbacks: Sequence[Callback], saved: dict[str, dict[str, Any]]
) -> None:
    """The reverse of `callback_states`; a callback that had no state is left as it was built."""
    for name, callback in zip(callback_names(callbacks), callbacks, strict=True):
        if name in saved:
            callback.load_state_dict(saved[name])


def snapshot(value: Any, path: str = "") -> Any:
    """A deep copy on the CPU that later training does not change.

    Args:
        path: of `value` in the checkpoint, for the message.

    Raises:
        PochiError: for a value that `torch.load(weights_only=True)` would refuse to read back.
    """
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if type(value) in (dict, Counter, OrderedDict):
        twin = copy.copy(value)  # keeps the attributes that torch adds to a state dict
        twin.clear()
        for key, item in value.items():
            twin[snapshot(key, f"{path}.{key}")] = snapshot(item, f"{path}.{key}")
        return twin
    if type(value) in (list, tuple, set, torch.Size):
        return type(value)([snapshot(item, f"{path}[{i}]") for i, item in enumerate(value)])
    if isinstance(value, np.generic):  # what np.mean() and its like return
        return value.item()
    if value is None or type(value) in PLAIN:
        return value
    raise PochiError(
        f"A checkpoint can hold tensors, numbers, text, lists and dicts, got {path[1:]} of type "
        f"{type(value).__module__}.{type(value).__qualname__}. Save it as one of these in "
        "state_dict() and convert it back in load_state_dict()."
    )


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
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
    os.replace(temporary, target)
    sync_directory(target.parent)


def earlier_checkpoints(folder: Path) -> list[Path]:
    """`last_1.pth`, `last_2.pth`, ..., newest first; no other file, such as `last_copy.pth`."""
    found = (path for path in folder.glob("last_*.pth") if path.stem[5:].isdecimal())
    return sorted(found, key=lambda path: int(path.stem[5:]))


def load_checkpoint(path: str | Path, device: str | torch.device = "cpu") -> dict[str, Any]:
    """Read a checkpoint; no code in it is run.

    Raises:
        ConfigError: no such file, a damaged one, another format, or pickled code inside.
    """
    file = Path(path)
    if not file.is_file():
        raise ConfigError(f"The checkpoint must be a file, got {str(path)!r}, which is not there.")
    try:
        require_checksums(file)
        content = torch.load(file, map_location=device, weights_only=True)
    except pickle.UnpicklingError as error:
        raise ConfigError(
            f"The checkpoint {file} holds pickled code or is damaged; it is not loaded "
            f"({first_line(error)})."
        ) from error
    except Exception as error:  # torch raises almost anything for a damaged file
        raise ConfigError(
            f"The checkpoint {file} is damaged or truncated ({first_line(error)})."
        ) from error
    if not isinstance(content, dict) or "format" not in content:
        raise ConfigError(f"{file} is not a checkpoint of pochitrain (no format version in it).")
    if content["format"] != FORMAT:
        raise ConfigError(
            f"The checkpoint {file} has format {content['format']!r}, this version reads {FORMAT}. "
            "Use the version of pochitrain that wrote it (see its `versions`)."
        )
    return content


def require_checksums(file: Path) -> None:
    """Verify the checksums in the file; torch does not, and would load wrong numbers.

    Raises:
        zipfile.BadZipFile: if a checksum differs, or the file is not a zip archive.
    """
    with zipfile.ZipFile(file) as archive:
        torn = archive.testzip()
    if torn is not None:
        raise zipfile.BadZipFile(f"{torn} is not as it was written")
