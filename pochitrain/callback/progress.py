"""The progress display: a live bar on a terminal, plain lines elsewhere."""

import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from pochitrain.engine.callback import Callback
from pochitrain.engine.state import EpochRecord, TrainState

REFRESH_S = 0.2
"""Shortest time between two updates, each of which waits for the device."""

SHOWN = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
"""Numbers in every line; a monitored metric that is not one of them is added."""


class ProgressDisplay(Callback):
    """Epoch, batch, loss, accuracy, images/s and time left."""

    def __init__(self, console: Console, num_batches: int, num_images: int) -> None:
        """Show progress on `console`: a bar on a terminal, else a line per epoch.

        Args:
            num_batches: batches per training epoch.
            num_images: images per training epoch.
        """
        self.console = console
        self.num_batches = num_batches
        self.num_images = num_images
        self.bar: Progress | None = None
        self.started = self.shown = time.perf_counter()
        self.first_batch = 0

    def on_fit_start(self, state: TrainState) -> None:
        if self.console.is_terminal:
            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TextColumn("{task.fields[numbers]}"),
                TimeRemainingColumn(compact=True, elapsed_when_finished=True),
                console=self.console,
            )
            total = state.epochs * self.num_batches
            done = state.epoch * self.num_batches + state.batch
            self.task = self.bar.add_task("", total=total, completed=done, numbers="")
            self.bar.start()

    def on_epoch_start(self, state: TrainState) -> None:
        self.started = self.shown = time.perf_counter()
        self.first_batch = state.batch

    def on_batch_end(self, state: TrainState) -> None:
        now = time.perf_counter()
        if self.bar is None or now - self.shown < REFRESH_S:
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
        )

    def on_epoch_end(self, state: TrainState) -> None:
        seconds = time.perf_counter() - self.started
        share = (self.num_batches - self.first_batch) / self.num_batches
        line = describe(state.history[-1], state, seconds, share * self.num_images / seconds)
        if self.bar is not None:
            self.bar.update(self.task, completed=state.epoch * self.num_batches)
            self.bar.console.print(line, highlight=False)
        else:
            print(line, file=self.console.file, flush=True)

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
