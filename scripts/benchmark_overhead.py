"""What gradient tracking, tables and graphs cost, as ratios from one run.

    python scripts/benchmark_overhead.py [--num-images 512] [--epochs 31] [--size 64]

ResNet-18 on random images that already are on the device, so that loading hides nothing. Every
second epoch tracks gradients; the others are what it is compared with. On a GPU the numbers are
for bf16, as precision=auto would choose.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torchvision import models

from pochitrain.callback.confusion_csv import ConfusionMatrixCSV
from pochitrain.callback.gradient_tracking import GradientTracking
from pochitrain.callback.metrics_csv import MetricsCSV
from pochitrain.config.insight import ConfusionMatrixConfig
from pochitrain.data.loader import Batch
from pochitrain.data.sampler import EpochBatches
from pochitrain.engine.callback import Callback
from pochitrain.engine.checkpoint import CheckpointWriter
from pochitrain.engine.device import select_device, select_precision
from pochitrain.engine.state import Monitor, RunningMetrics, TrainState
from pochitrain.engine.trainer import Trainer
from pochitrain.loss.cross_entropy import CrossEntropy
from pochitrain.model.block import find_blocks

NUM_CLASSES = 10


class DeviceBatches:
    """Stands in for an EpochLoader: random batches that are on the device from the start."""

    def __init__(self, num: int, batch_size: int, size_px: int, device: torch.device) -> None:
        labels = torch.arange(num) % NUM_CLASSES
        self.batches = EpochBatches(labels.tolist(), batch_size, seed=0, shuffle=True)
        self.dataset = range(num)
        self.made = []
        for start, stop in self.batches.bounds():
            images = torch.randn(stop - start, 3, size_px, size_px, device=device)
            images = images.contiguous(memory_format=torch.channels_last)
            index = torch.arange(start, stop)
            self.made.append(Batch(images, labels[start:stop].to(device), index))

    def __len__(self) -> int:
        return len(self.made)

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Batch]:
        yield from self.made[start_batch:]


class Clock(Callback):
    """Seconds of the training part of each epoch."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: list[float] = []

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def on_epoch_start(self, state: TrainState) -> None:
        self.started = self.now()

    def on_validation_start(self, state: TrainState) -> None:
        self.seconds.append(self.now() - self.started)


class Timed(Callback):
    """Adds up what another callback takes at the end of an epoch."""

    def __init__(self, inner: Callback) -> None:
        self.inner = inner
        self.seconds = 0.0

    def on_epoch_end(self, state: TrainState) -> None:
        started = time.perf_counter()
        self.inner.on_epoch_end(state)
        self.seconds += time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--num-images", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=31)
    parser.add_argument("--size", type=int, default=64, help="pixels")
    parser.add_argument("--device", default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(options, Path(folder))


def measure(options: argparse.Namespace, folder: Path) -> None:
    device = select_device(options.device)
    precision = select_precision("auto", device)
    model = models.resnet18(num_classes=NUM_CLASSES)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0, 0)
    state = TrainState(
        model,
        optimizer,
        scheduler,
        precision.scaler,
        Monitor("val_accuracy"),
        options.epochs,
        RunningMetrics(device),
    )
    tracker = GradientTracking(
        folder / "gradient_trace.csv",
        model,
        find_blocks(name for name, _ in model.named_parameters()),
        record_frequency=2,
        exclude_patterns=[],  # every parameter: the dearest case
        group_by_block=True,
        aggregation_method="median",
    )
    clock = Clock(device)
    names = [f"class {i}" for i in range(NUM_CLASSES)]
    tables = [
        Timed(MetricsCSV(folder / "training_metrics.csv")),
        Timed(ConfusionMatrixCSV(folder / "confusion_matrix.csv", names)),
    ]
    shape = (options.batch_size, options.size, device)
    train: Any = DeviceBatches(options.num_images, *shape)
    val: Any = DeviceBatches(options.num_images // 4, *shape)
    writer = CheckpointWriter(folder / "models", {}, every_epochs=options.epochs + 1)
    callbacks = [clock, tracker, *tables]
    Trainer(state, train, val, CrossEntropy(), precision, callbacks, writer).fit()
    report(options, device, precision.name, clock, tables, folder)


def report(
    options: argparse.Namespace,
    device: torch.device,
    precision: str,
    clock: Clock,
    tables: list[Timed],
    folder: Path,
) -> None:
    # The first epoch pays for warming up. Each tracked epoch is compared with its two neighbours.
    pairs = [
        clock.seconds[i] / ((clock.seconds[i - 1] + clock.seconds[i + 1]) / 2)
        for i in range(3, len(clock.seconds) - 1, 2)
    ]
    plain = statistics.median(clock.seconds[2::2])
    started = time.perf_counter()
    from pochitrain.report.run import draw_run  # what a run pays for importing matplotlib counts

    drawn = draw_run(folder, ConfusionMatrixConfig())
    drawing_s = time.perf_counter() - started
    tables_s = sum(table.seconds for table in tables) / options.epochs
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    print(f"resnet18, {options.size} px, batches of {options.batch_size}, {name}, {precision}")
    print(f"epoch of {options.num_images} pictures    {plain:.3f} s")
    print(f"with gradient tracking     x {statistics.median(pairs):.4f} (median of {len(pairs)})")
    print(
        f"tables                     {1000 * tables_s:.2f} ms, {tables_s / plain:.3%} of an epoch"
    )
    print(f"graphs, once per run       {drawing_s:.2f} s for {len(drawn)} files")


if __name__ == "__main__":
    main()
