"""Measures parts of a training, by turns: for `pochi bench`, `tune=auto` and the benchmarks."""

import io
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from omegaconf import DictConfig

from pochitrain.callback.progress import ProgressDisplay
from pochitrain.console import PrintableConsole
from pochitrain.data.loader import Batch, EpochLoader
from pochitrain.engine.checkpoint import CheckpointWriter
from pochitrain.engine.microbatch import bare_step
from pochitrain.engine.trainer import Trainer
from pochitrain.run.build import RunParts
from pochitrain.run.callback import freezing_callbacks
from pochitrain.run.optimization import step_settings

PREFETCHED = 4
"""Batches that each loader process has ready at most."""


class EndlessLoader:
    """Stands for the loader of an epoch: hands out blocks of its batches, epoch after epoch."""

    def __init__(self, loader: EpochLoader, first_epoch: int = 0) -> None:
        """Hand out the batches of `loader`, beginning with epoch `first_epoch` (0-based)."""
        self.loader = loader
        self.next_epoch = first_epoch
        self.running: Iterator[Batch] = iter(())
        self.block = 1
        """Batches in what `epoch` gives."""

    def __len__(self) -> int:
        return len(self.loader)

    def __getattr__(self, name: str) -> object:
        return getattr(self.loader, name)

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Batch]:
        for _ in range(self.block):
            yield self.take()

    def take(self) -> Batch:
        """The next batch, of the next epoch where one ends."""
        batch = next(self.running, None)
        while batch is None:
            self.running = self.loader.epoch(self.next_epoch)
            self.next_epoch += 1
            batch = next(self.running, None)
        return batch


class Workbench:
    """A training whose parts can be run block by block: the loader, the step, and both."""

    def __init__(
        self, cfg: DictConfig, parts: RunParts, folder: Path, first_epoch: int = 0
    ) -> None:
        """Wire `parts` as a training does, without validation, checkpoints and files.

        Args:
            folder: where checkpoints would be written.
            first_epoch: 0-based; the images of later ones may come from the cache.
        """
        loader = parts.train_loader
        console = PrintableConsole(file=io.StringIO(), force_terminal=True)
        self.progress = ProgressDisplay(console, len(loader), loader.num_samples)
        callbacks = [*freezing_callbacks(cfg, parts.state.model), self.progress]
        self.source = EndlessLoader(loader, first_epoch)
        self.trainer = Trainer(
            parts.state,
            self.source,  # type: ignore[arg-type]
            None,
            parts.criterion,
            parts.precision,
            callbacks,
            CheckpointWriter(folder, {}),
            **step_settings(cfg),
        )
        self.device = parts.precision.device
        self.num_prefetched = PREFETCHED * loader.loader.num_workers
        self.trainer.emit("on_fit_start")
        parts.state.model.train()
        self.trainer.emit("on_epoch_start")
        self.batch = self.source.take()
        """The images that the step alone is run on."""
        self.batch_s: float | None = None
        """Seconds that the loader takes for a batch while nothing is computed."""
        self.is_full = True
        """Whether the loader processes have all ready that they may."""

    def drain(self) -> None:
        """Take the batches that the loader processes have ready."""
        for _ in range(self.num_prefetched):
            self.source.take()
        self.is_full = not self.num_prefetched

    def fill(self) -> None:
        """Wait until the loader processes have nothing to do, so that they disturb nothing."""
        if self.is_full:
            return
        if self.batch_s is None:
            self.batch_s = self.load(self.num_prefetched) / self.num_prefetched
        time.sleep(self.num_prefetched * self.batch_s)
        self.is_full = True

    def load(self, count: int) -> float:
        """Seconds for `count` batches, files to device; those that are ready do not count."""
        self.drain()
        self.wait()
        start = time.perf_counter()
        for _ in range(count):
            self.source.take()
        self.wait()
        return time.perf_counter() - start

    def compute(self, count: int) -> float:
        """Seconds for the bare computation of `count` training steps; nothing is loaded then."""
        self.fill()
        self.wait()
        start = time.perf_counter()
        for _ in range(count):
            bare_step(
                self.trainer.state, self.trainer.criterion, self.trainer.precision, self.batch
            )
        self.wait()
        return time.perf_counter() - start

    def train(self, count: int) -> float:
        """Seconds for `count` batches of the training loop, from files to weights.

        As many as the loader processes prefetch come before and do not count: what had been
        loaded while something else was measured would look like loading at no cost.
        """
        if self.num_prefetched:
            self.train_block(self.num_prefetched)
        start = time.perf_counter()
        self.train_block(count)
        return time.perf_counter() - start

    def train_block(self, count: int) -> None:
        """Run `count` batches of the training loop, and wait until the device has done them."""
        self.source.block = count
        self.trainer.state.batch = 0
        self.trainer.train_batches()
        self.is_full = not self.num_prefetched
        self.wait()

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def close(self) -> None:
        """Give the terminal back, and end the loader processes."""
        self.progress.close()
        self.source.loader.close()


def in_turns(
    sides: Mapping[str, Callable[[], float]], *, rounds: int = 1, seconds: float = 0.0
) -> dict[str, list[float]]:
    """What each side returns, round by round, so that whatever else the machine does hits all.

    Args:
        sides: name -> function that runs a block and returns its seconds.
        rounds: how many at least.
        seconds: further rounds are begun until so many have passed.
    """
    found: dict[str, list[float]] = {name: [] for name in sides}
    end = time.monotonic() + seconds
    while True:
        for name, run in sides.items():
            found[name].append(run())
        if time.monotonic() >= end and len(next(iter(found.values()))) >= rounds:
            return found


def median_ratio(part: list[float], whole: list[float]) -> float:
    """Median over the rounds of part / whole."""
    return statistics.median(a / b for a, b in zip(part, whole, strict=True))
