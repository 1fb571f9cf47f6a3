"""Trains on a part of the training images and judges by the rest: no validation image is used."""

import copy
import io
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from pochitrain.console import PrintableConsole
from pochitrain.data.dataset import DataSplits, ImageDataset, Subset
from pochitrain.data.progress import WaitDisplay
from pochitrain.data.split import SplitRule, split_indices
from pochitrain.engine.callback import Callback
from pochitrain.engine.checkpoint import CheckpointWriter
from pochitrain.engine.device import Precision
from pochitrain.engine.interrupt import StopRequest, stop_on_signal
from pochitrain.engine.state import TrainState
from pochitrain.engine.trainer import Trainer
from pochitrain.error import ConfigError
from pochitrain.metric.table import AVERAGED
from pochitrain.run.build import build_parts
from pochitrain.run.callback import freezing_callbacks
from pochitrain.run.fit.plan import HELD_OUT
from pochitrain.run.optimization import step_settings
from pochitrain.run.strategy import prepare_parts
from pochitrain.strategy.head_gradient import choose_accumulator
from pochitrain.strategy.thread import threads_for


@dataclass(frozen=True)
class Pilot:
    """How a config did on images that were held out."""

    value: float
    """The monitored metric after the last epoch."""
    epoch_s: float
    """Of an epoch; of the later ones, where there are several."""
    once_s: float = 0.0
    """What the first epoch took longer, because pictures were loaded for the first time."""
    higher_is_better: bool = True

    def beats(self, other: "Pilot") -> bool:
        """Whether this one did strictly better; a value that is no number never does."""
        if self.higher_is_better:
            return self.value > other.value
        return self.value < other.value


def hold_out(data: DataSplits, seed: int) -> DataSplits | None:
    """The training images, divided again; None where a class is too small for that."""
    labels = np.asarray(data.train.labels)
    try:
        found = split_indices(labels, SplitRule(HELD_OUT, seed=seed), data.train_groups)
    except ConfigError:  # too few groups
        return None
    rest, held = found.train, found.val
    if held is None or len(held) == 0:
        return None
    if np.bincount(labels[rest], minlength=len(data.class_names)).min() == 0:
        return None
    train, val = (part(data.train, rows) for rows in (rest, held))
    return replace(data, train=train, val=val, warnings=[], train_groups=None)


def part(dataset: ImageDataset, rows: NDArray[np.int64]) -> Subset:
    """Some images of a split, by their positions in it."""
    if isinstance(dataset, Subset):
        return Subset(dataset.base, np.asarray(dataset.indices)[rows])
    return Subset(dataset, rows)


class Progress(Callback):
    """Shows how far a pilot is."""

    def __init__(self, display: WaitDisplay) -> None:
        self.display = display
        self.ends_s: list[float] = []
        """When each epoch ended, of `time.perf_counter`."""

    def on_batch_end(self, state: TrainState) -> None:
        self.display.advance()

    def on_epoch_end(self, state: TrainState) -> None:
        self.ends_s.append(time.perf_counter())


def run_pilot(
    cfg: DictConfig, data: DataSplits, precision: Precision, request: StopRequest, label: str
) -> Pilot:
    """Train as `cfg` says on `data.train`, and evaluate on `data.val`.

    Raises:
        Interrupted: after a stop request; nothing is left behind.
    """
    cfg = copy.deepcopy(cfg)
    parts = build_parts(cfg, precision, data)
    with tempfile.TemporaryDirectory(prefix="pochi_fit_") as folder, stop_on_signal(request):
        prepare_parts(cfg, parts, PrintableConsole(file=io.StringIO()), request)
        writer = CheckpointWriter(Path(folder), {}, every_epochs=cfg.epochs)
        begin = time.perf_counter()
        with WaitDisplay(label, len(parts.train_loader) * cfg.epochs) as display:
            progress = Progress(display)
            try:
                with threads_for(parts.state.model, parts.train_loader.batches.batch_size):
                    state = Trainer(
                        parts.state,
                        parts.train_loader,
                        parts.val_loader,
                        parts.criterion,
                        precision,
                        [*freezing_callbacks(cfg, parts.state.model), progress],
                        writer,
                        **step_settings(cfg),
                        stop_request=request,
                        metrics=parts.metrics,
                        accumulator=choose_accumulator(parts.state, parts.criterion, precision),
                    ).fit()
            finally:
                parts.close_loaders()
    if request.signal is not None:
        raise request.error("after a comparison")
    # A pilot averages no weights: the metric itself stands for that of the average.
    value = state.history[-1].value(state.monitor.metric.removeprefix(AVERAGED))
    higher = state.monitor.higher_is_better
    epoch_s, once_s = divide_time(begin, progress.ends_s)
    return Pilot(value, epoch_s, once_s, higher)


def divide_time(begin_s: float, ends_s: Sequence[float]) -> tuple[float, float]:
    """Seconds of an epoch, and what the first one took longer, from when each ended."""
    first_s = ends_s[0] - begin_s
    later_s = (ends_s[-1] - ends_s[0]) / max(len(ends_s) - 1, 1)
    epoch_s = later_s if len(ends_s) > 1 else first_s
    return epoch_s, max(first_s - epoch_s, 0.0)
