"""Writing and reading checkpoints.

A checkpoint is a dict of tensors and plain values. `torch.load(weights_only=True)` reads it, which
cannot run code:

    format          version of this layout
    model, optimizer, scheduler, scaler, random, epoch, batch, step, sums, history, best,
    stop_reason, num_microbatches, num_skipped
                    as in TrainState
    callbacks       state of each callback, by name
    class_names, transforms, config, versions, monitor, precision, data

The folder holds `last.pth`, the earlier `last_1.pth`, `last_2.pth`, ... (`checkpoint.keep_last`
files in all), and `best.pth`.

Where epochs take less than `least_s`, a best epoch waits in memory until `last.pth` is written
next. Then it is written as `.best.next` first, `last.pth` second, and renamed to `best.pth` third.
So `best.pth` is never newer than `last.pth`; a resumed run does the third step if it was killed
before (`finish_best`), and repeats the epochs that `last.pth` does not know.
"""

import os
import pickle
import shutil
import threading
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pochitrain.atomic import sync_directory, write_with
from pochitrain.engine.callback import Callback
from pochitrain.engine.snapshot import snapshot
from pochitrain.engine.state import TrainState
from pochitrain.error import ConfigError, PochiError
from pochitrain.text import first_line

FORMAT = 1
NEXT_BEST = ".best.next"


@dataclass
class CheckpointWriter:
    """Writes `last.pth` and `best.pth` into a folder, in a thread while training continues."""

    folder: Path
    metadata: dict[str, Any]
    """Entries of every checkpoint of a run: class_names, transforms, config, ..."""
    every_epochs: int = 1
    every_steps: int | None = None
    every_minutes: float | None = None
    keep_last: int = 2
    in_background: bool = True
    """False: training waits until the file is on disk."""
    least_s: float = 0.0
    """Shortest time between two checkpoints at the end of epochs but the last, in seconds."""
    writes: bool = True
    """False where another process of the run writes."""
    frozen: Mapping[int, Tensor] = field(default_factory=dict)
    """Address of a tensor of the model that never changes -> itself on the CPU, never copied."""
    waiting: dict[str, Any] | None = None
    """The best epoch so far, where it is not on disk yet."""
    written: float = field(default_factory=time.monotonic)
    """Time of the latest checkpoint, in seconds of the monotonic clock."""
    written_step: int = 0
    """`state.step` of the latest checkpoint."""
    job: "WriteJob | None" = None
    """The current write, or the latest one until `finish` has checked its result."""

    def end_of_epoch(self, state: TrainState, callbacks: Sequence[Callback]) -> None:
        """Save after every `every_epochs` epochs, after the best one so far, and after the last.

        Within `least_s` of the last time, the best one is kept in memory instead.
        """
        final = state.epoch >= state.epochs or state.stop_reason is not None
        if state.epoch % self.every_epochs and not final and not state.is_best:
            return
        if not final and time.monotonic() - self.written < self.least_s:
            if state.is_best:
                self.waiting = self.content(state, callbacks)
            return
        self.save_last(state, callbacks, best=state.is_best)

    def is_due(self, state: TrainState) -> bool:
        """Whether to save during an epoch, because `every_steps` or `every_minutes` have passed."""
        if self.every_steps is not None and state.step - self.written_step >= self.every_steps:
            return True
        minutes = (time.monotonic() - self.written) / 60  # not the wall clock, which can be set
        return self.every_minutes is not None and minutes >= self.every_minutes

    def save_last(
        self, state: TrainState, callbacks: Sequence[Callback], *, best: bool = False
    ) -> None:
        """Copy the state and start writing it, after waiting for an earlier write.

        A best epoch that waits in memory is written with it.

        Args:
            best: whether to write it as `best.pth` too.

        Raises:
            PochiError: if this or an earlier checkpoint cannot be written.
        """
        if not self.writes:
            self.written, self.written_step = time.monotonic(), state.step
            return
        content = self.content(state, callbacks)
        waiting, self.waiting = (None if best else self.waiting), None
        self.finish()
        self.written, self.written_step = time.monotonic(), state.step
        self.job = WriteJob(lambda: self.write(content, best, waiting))
        if not self.in_background:
            self.finish()

    def content(self, state: TrainState, callbacks: Sequence[Callback]) -> dict[str, Any]:
        """A copy of the state, as it is written."""
        now = {
            "format": FORMAT,
            **self.metadata,
            **state.state_dict(),
            "monitor": state.monitor.metric,
            "callbacks": callback_states(callbacks),
        }
        copied: dict[str, Any] = snapshot(now, frozen=self.frozen)
        return copied

    def write(self, content: dict[str, Any], best: bool, waiting: dict[str, Any] | None) -> None:
        """Replace `last.pth` (and `best.pth`, by it or by an epoch that waited) atomically."""
        is_first = not self.folder.is_dir()
        self.folder.mkdir(parents=True, exist_ok=True)
        if is_first:  # after a power failure, resuming needs this folder and config.yaml beside it
            sync_directory(self.folder.parent)
            sync_directory(self.folder.parent.parent)
        last, following = self.folder / "last.pth", self.folder / NEXT_BEST
        if waiting is not None:
            write_with(following, lambda file: torch.save(waiting, file))
        write_with(last, lambda file: torch.save(content, file), lambda: self.keep_earlier(last))
        if best:
            link(last, self.folder / "best.pth")
        if waiting is not None:
            os.replace(following, self.folder / "best.pth")
            sync_directory(self.folder)

    def keep_earlier(self, last: Path) -> None:
        """Rename last_1.pth to last_2.pth and so on, and make last_1.pth a hard link to last.pth.

        `last.pth` itself stays in place until the new one replaces it.
        """
        names = [last, *(self.folder / f"last_{age}.pth" for age in range(1, self.keep_last))]
        for older, newer in reversed(list(zip(names[1:], names, strict=False))):
            if newer.exists():
                if newer == last:
                    link(last, older)
                else:
                    os.replace(newer, older)
        for path in earlier_checkpoints(self.folder):  # keep_last may have been larger before
            if path not in names:
                path.unlink()

    def finish(self) -> None:
        """Wait until the saved checkpoint is on disk.

        Raises:
            PochiError: if it could not be written; the one before it is still complete.
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
    """Runs a function in a thread, and keeps its error for the thread that waits for it."""

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
    """The innermost OSError in the chain of `error`; torch raises another as it closes the file."""
    found = None
    while error is not None:
        found = error if isinstance(error, OSError) else found
        error = error.__cause__ or error.__context__
    return found


def callback_states(callbacks: Sequence[Callback]) -> dict[str, dict[str, Any]]:
    """Name -> state of each callback that has state."""
    states = {
        name: callback.state_dict()
        for name, callback in zip(callback_names(callbacks), callbacks, strict=True)
    }
    return {name: state for name, state in states.items() if state}


def callback_names(callbacks: Sequence[Callback]) -> list[str]:
    """The class names of the callbacks; the second of a class gets the suffix `_2`, and so on."""
    kinds = [type(callback).__name__ for callback in callbacks]
    counts = [kinds[: i + 1].count(kind) for i, kind in enumerate(kinds)]
    return [
        kind if count == 1 else f"{kind}_{count}" for kind, count in zip(kinds, counts, strict=True)
    ]


def restore_callback_states(
    callbacks: Sequence[Callback], saved: dict[str, dict[str, Any]]
) -> None:
    """Restore what `callback_states` returned; a callback without saved state is not changed."""
    for name, callback in zip(callback_names(callbacks), callbacks, strict=True):
        if name in saved:
            callback.load_state_dict(saved[name])


def link(source: Path, target: Path) -> None:
    """Make `target` a hard link to `source`, atomically; a copy where links are not supported.

    This is safe because checkpoints are replaced, never modified.
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


def finish_best(folder: Path, best_epoch: int | None, source: Path | None = None) -> None:
    """After a kill: make `best.pth` what the run continues from.

    A prepared best epoch becomes `best.pth` if `last.pth` knows it, else it is removed.

    Args:
        best_epoch: of the state that the run continues from.
        source: a checkpoint of that epoch, if the run continues from its end. It becomes `best.pth`
            where that is of another epoch: the process may have been killed between writing the
            two. Else `best.pth` stays: what was saved later, as a stopped run does, may have
            callbacks that have begun the next epoch.
    """
    following, best = folder / NEXT_BEST, folder / "best.pth"
    if following.exists():
        if epoch_of(following) == best_epoch:
            os.replace(following, best)
        else:
            following.unlink()
    if source is not None and epoch_of(best) != best_epoch:
        link(source, best)


def epoch_of(path: Path) -> int | None:
    """Number of finished epochs in a checkpoint; None if it is not there or damaged."""
    try:
        return int(load_checkpoint(path)["epoch"])
    except ConfigError:
        return None


def earlier_checkpoints(folder: Path) -> list[Path]:
    """`last_1.pth`, `last_2.pth`, ..., newest first; not other files, such as `last_copy.pth`."""
    found = (path for path in folder.glob("last_*.pth") if path.stem[5:].isdecimal())
    return sorted(found, key=lambda path: int(path.stem[5:]))


def load_checkpoint(path: str | Path, device: str | torch.device = "cpu") -> dict[str, Any]:
    """Read a checkpoint. Code in it is not run.

    Raises:
        ConfigError: if there is no such file, or it is damaged, has another format or contains
            pickled code.
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
    except Exception as error:  # torch raises many error types for a damaged file
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
    """Verify the checksums in the file. torch does not, and would load damaged numbers.

    Raises:
        zipfile.BadZipFile: if a checksum differs, or the file is not a zip archive.
    """
    with zipfile.ZipFile(file) as archive:
        torn = archive.testzip()
    if torn is not None:
        raise zipfile.BadZipFile(f"{torn} is not as it was written")
