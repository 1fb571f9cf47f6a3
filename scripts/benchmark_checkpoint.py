"""What a checkpoint costs: python scripts/benchmark_checkpoint.py [--device cuda] [--images 2048]

Trains a model at 224 px on images in memory. Epochs without a checkpoint, with one written in the
background, and with one that training waits for, take turns in one process; the ratios of their
medians are printed, and how long training stood still.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from pochitrain.engine.checkpoint import CheckpointWriter
from pochitrain.engine.device import select_device
from pochitrain.engine.state import Monitor, RunningMetrics, TrainState
from pochitrain.model.classifier import build_classifier

KINDS = ("none", "background", "foreground")


def build_state(name: str, device: torch.device) -> TrainState:
    model = build_classifier(name=name, num_classes=10, pretrained=False).to(device)
    optimizer = torch.optim.Adam(model.parameters())
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=0)
    scaler = torch.amp.GradScaler(device.type, enabled=False)
    return TrainState(
        model, optimizer, scheduler, scaler, Monitor("val_loss"), 1, RunningMetrics(device)
    )


def train_epoch(
    state: TrainState, batches: list[tuple[Tensor, Tensor]], device: torch.device
) -> None:
    state.model.train()
    total = torch.zeros((), device=device)
    for images, labels in batches:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            loss = torch.nn.functional.cross_entropy(state.model(images), labels)
        state.optimizer.zero_grad()
        torch.autograd.backward(loss)
        state.optimizer.step()
        total += loss.detach()
    total.item()  # as at the end of a real epoch: wait for the device


def epochs(
    state: TrainState, batches: list[tuple[Tensor, Tensor]], folder: Path, repeats: int
) -> Iterator[tuple[str, float, float]]:
    """(kind, seconds of the epoch with its checkpoint, seconds that training stood still)."""
    device = batches[0][0].device
    writers = {
        kind: CheckpointWriter(folder / kind, {}, in_background=kind == "background")
        for kind in KINDS
    }
    train_epoch(state, batches, device)  # warm-up
    for writer in writers.values():  # the first write to a new folder is not typical
        writer.save_last(state, [])
        writer.finish()
    for _ in range(repeats):
        for kind, writer in writers.items():
            # A background write runs beside the epoch after it, which therefore is what is timed.
            begin = time.perf_counter()
            if kind != "none":
                writer.save_last(state, [])
            still = time.perf_counter() - begin
            train_epoch(state, batches, device)
            writer.finish()
            yield kind, time.perf_counter() - begin, still


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--device", default=None)
    parser.add_argument("--images", type=int, default=2048, help="per epoch")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--side-px", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", default=None, help="disk to write to (default: temporary)")
    options = parser.parse_args()
    device = select_device(options.device)
    state = build_state(options.model, device)
    size = min(options.batch_size, options.images)
    images = torch.randn(size, 3, options.side_px, options.side_px, device=device)
    labels = torch.randint(10, (size,), device=device)
    batches = [(images, labels)] * (options.images // size)
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    stills: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for kind, whole, still in epochs(state, batches, Path(folder), options.repeats):
            seconds[kind].append(whole)
            stills[kind].append(still)
        megabytes = (Path(folder) / "background" / "last.pth").stat().st_size / 1e6
    bare = statistics.median(seconds["none"])
    print(
        f"{options.model} on {device}, {options.images} pictures of {options.side_px} px an epoch, "
        f"checkpoint of {megabytes:.0f} MB, medians of {options.repeats}"
    )
    for kind in KINDS:
        median = statistics.median(seconds[kind])
        print(
            f"{kind:<11} epoch {median:8.3f} s  overhead {100 * (median / bare - 1):+6.2f} %  "
            f"training stood still {1000 * statistics.median(stills[kind]):7.1f} ms "
            f"({100 * statistics.median(stills[kind]) / bare:.2f} %)"
        )


if __name__ == "__main__":
    main()
