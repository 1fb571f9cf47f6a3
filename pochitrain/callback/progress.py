"""The progress display: a live bar on a terminal, plain lines elsewhere."""

import time
from datetime import datetime

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn

from pochitrain.console import PrintableConsole
from pochitrain.engine.callback import Callback
from pochitrain.engine.state import EpochRecord, TrainState
from pochitrain.manner import is_quiet
from pochitrain.text import describe_time_left

REFRESH_S = 0.2
"""Shortest time between two updates, each of which waits for the device."""
LINE_EVERY_S = 60.0
"""Shortest time between two lines that say when the run will end, where there is no terminal."""
NUMBERS_FROM, BAR_FROM = 90, 120
"""Columns of a terminal that has room for loss and accuracy, and for a bar too."""

SHOWN = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
"""Numbers in every line; a monitored metric that is not one of them is added."""


class ProgressDisplay(Callback):
    """Epoch, batch, loss, accuracy, images/s, the time left and when the run will end."""

    def __init__(self, console: PrintableConsole, num_batches: int, num_images: int) -> None:
        """Show progress on `console`: a bar on a terminal, else a line per epoch.

        Args:
            num_batches: batches per training epoch.
            num_images: images per training epoch.
        """
        self.console = console
        self.num_batches = num_batches
        self.num_images = num_images
        self.bar: Progress | None = None
        self.started = self.shown = self.said = time.perf_counter()
        self.first_batch = 0
        self.epoch_s: float | None = None
        """Seconds of the last complete epoch, with its validation."""

    def on_fit_start(self, state: TrainState) -> None:
        self.said = time.perf_counter()
        if self.console.is_redrawn:
            self.bar = Progress(*self.columns(), console=self.console)
            total = state.epochs * self.num_batches
            done = state.epoch * self.num_batches + state.batch
            self.task = self.bar.add_task("", total=total, completed=done, numbers="", end="")
            self.bar.start()

    def columns(self) -> list[ProgressColumn]:
        """What the width of the terminal has room for."""
        width = self.console.width
        return [
            TextColumn("{task.description}"),
            *([BarColumn(bar_width=None)] if width >= BAR_FROM else []),
            *([MofNCompleteColumn()] if width >= NUMBERS_FROM else []),
            *([TextColumn("{task.fields[numbers]}")] if width >= NUMBERS_FROM else []),
            TextColumn("{task.fields[end]}"),
        ]

    def on_epoch_start(self, state: TrainState) -> None:
        self.started = self.shown = time.perf_counter()
        self.first_batch = state.batch

    def on_batch_end(self, state: TrainState) -> None:
        now = time.perf_counter()
        if self.bar is None:
            if now - self.said >= LINE_EVERY_S and not is_quiet():
                self.say(state, now)
            return
        if now - self.shown < REFRESH_S:
            return
        self.shown = now
        loss, accuracy = state.sums.result()
        share = (state.batch - self.first_batch) / self.num_batches
        speed = share * self.num_images / (now - self.started)
        self.bar.update(
            self.task,
            description=f"epoch {state.epoch + 1}/{state.epochs}",
            completed=state.epoch * self.num_batches + state.batch,
            numbers=f"loss {loss:.4f}  acc {accuracy:.2f} %  {speed:.0f} images/s",
            end=self.describe_end(state, now),
        )

    def say(self, state: TrainState, now: float) -> None:
        """Print how far a long epoch is."""
        self.said = now
        batch = f"batch {state.batch:,}/{self.num_batches:,}"
        end = self.describe_end(state, now)
        self.print(f"epoch {state.epoch + 1}/{state.epochs}  {batch}  {end}")

    def describe_end(self, state: TrainState, now: float) -> str:
        """When the run will end, unless it is stopped early; in the middle of an epoch."""
        batches = state.batch - self.first_batch
        if self.epoch_s is None:  # without what the validation will take
            epoch_s = (now - self.started) * self.num_batches / max(batches, 1)
        else:
            epoch_s = self.epoch_s
        epochs = state.epochs - state.epoch - state.batch / self.num_batches
        return describe_time_left(epochs * epoch_s, datetime.now())

    def on_epoch_end(self, state: TrainState) -> None:
        now = time.perf_counter()
        seconds = now - self.started
        share = (self.num_batches - self.first_batch) / self.num_batches
        if share > 0:
            self.epoch_s = seconds / share
        line = describe(state.history[-1], state, seconds, share * self.num_images / seconds)
        left, end = state.epochs - state.epoch, ""
        if left > 0 and self.epoch_s is not None:
            end = describe_time_left(left * self.epoch_s, datetime.now())
        if self.bar is not None:
            self.bar.update(self.task, completed=state.epoch * self.num_batches, end=end)
        elif end and now - self.said >= LINE_EVERY_S:
            self.said = now
            line += f"  {end}"
        self.print(line)

    def print(self, line: str) -> None:
        """Print a line, above the bar if there is one."""
        self.console.print(line, markup=False)
        self.console.file.flush()

    def on_fit_end(self, state: TrainState) -> None:
        self.close()

    def close(self) -> None:
        """Remove the bar from the terminal; also called after an error."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def describe(record: EpochRecord, state: TrainState, seconds: float, speed: float) -> str:
    """One line about a finished epoch."""
    parts = [
        f"epoch {record.epoch}/{state.epochs}",
        f"train loss {record.train_loss:.4f} acc {record.train_accuracy:.2f} %",
    ]
    if record.val_loss is not None:
        parts.append(f"val loss {record.val_loss:.4f} acc {record.val_accuracy:.2f} %")
    monitor = state.monitor
    if monitor.metric not in SHOWN:
        parts.append(f"{monitor.metric} {monitor.format(record.value(monitor.metric))}")
    parts += [f"lr {record.learning_rate:.3g}", f"{speed:.0f} images/s", f"{seconds:.1f} s"]
    if state.is_best:
        parts.append("best")
    return "  ".join(parts)
