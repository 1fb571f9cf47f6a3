"""How much of the computing speed a whole training run keeps, measured in one go.

    python scripts/benchmark_train.py [--model resnet18] [--size 224] [--batch-size 16]

Two loops over the same model, optimizer and batch size take turns in short blocks, so that
whatever else the machine does hits both alike:

    end to end   our Trainer: JPEG files from disk, decoding, augmentation, loader processes,
                 checked loss, metrics, progress; everything but validation and checkpoints
    compute      zero_grad, forward, loss, backward, step on one batch that is already in memory

Prints images/s of both and their ratio (1.0: the data path costs nothing). The images are
JPEG crops of the two photographs that scikit-learn ships.
"""

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from PIL import Image
from rich.console import Console
from sklearn.datasets import load_sample_images

from pochitrain.callback.progress import ProgressDisplay
from pochitrain.config.component import Components
from pochitrain.config.registry import register_config
from pochitrain.data.loader import Batch, EpochLoader
from pochitrain.engine.checkpoint import CheckpointWriter
from pochitrain.engine.device import select_device, select_precision
from pochitrain.engine.trainer import Trainer
from pochitrain.loss.criterion import build_criterion
from pochitrain.paths import config_directory
from pochitrain.run.build import build_loaders, build_pipelines, build_state


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--size", type=int, default=224, help="side in px that the model sees")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--num-workers", type=int, help="default: as a run chooses")
    parser.add_argument("--blocks", type=int, default=10, help="blocks of each kind")
    parser.add_argument("--block", type=int, default=4, help="batches in a block")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        num_images = args.batch_size * args.block * (args.blocks + 1)
        write_pictures(Path(folder), num_images, round(args.size * 1.7))
        trainer = build_trainer(args, Path(folder))
        measure(trainer, args)


def write_pictures(root: Path, count: int, side_px: int) -> None:
    """Random square JPEG crops of two photographs (427 x 640 px), enlarged where they must be."""
    generator = np.random.default_rng(0)
    for name, photo in zip(("china", "flower"), load_sample_images().images, strict=True):
        (root / name).mkdir()
        for i in range((count + 1) // 2):
            side = int(generator.integers(200, 420))
            top = int(generator.integers(0, photo.shape[0] - side))
            left = int(generator.integers(0, photo.shape[1] - side))
            crop = Image.fromarray(photo[top : top + side, left : left + side])
            crop.resize((side_px, side_px)).save(root / name / f"{i:05d}.jpg", quality=90)


def build_trainer(args: argparse.Namespace, folder: Path) -> Trainer:
    """What pochitrain.run.train wires, without a run directory."""
    register_config()
    overrides = [
        "data=folder",
        f"data.train_root={folder}",
        f"data.num_workers={'null' if args.num_workers is None else args.num_workers}",
        f"transform.size={args.size}",
        f"batch_size={args.batch_size}",
        "model=torchvision",
        f"model.name={args.model}",
    ]
    with initialize_config_dir(str(config_directory())):
        cfg = compose("config", overrides)
    parts = Components(cfg)
    device = select_device(None)
    precision = select_precision("auto", device)
    data = parts.build_data()
    pipelines, _ = build_pipelines(parts)
    loader, _ = build_loaders(parts, data, pipelines, device)
    criterion = build_criterion(parts, data.count_per_class(data.train))
    state = build_state(parts, data, device, precision)
    console = Console(file=io.StringIO(), force_terminal=True)
    progress = ProgressDisplay(console, len(loader), loader.num_samples)
    writer = CheckpointWriter(folder / "models", {})
    trainer = Trainer(state, loader, None, criterion.to(device), precision, [progress], writer)
    trainer.emit("on_fit_start")
    return trainer


class Slice:
    """Stands for the loader of an epoch and hands out one block of its batches at a time."""

    def __init__(self, loader: EpochLoader) -> None:
        self.loader = loader
        self.running: Iterator[Batch] = loader.epoch(0)
        self.block = 0

    def __len__(self) -> int:
        return len(self.loader)

    def __getattr__(self, name: str) -> object:
        return getattr(self.loader, name)

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Batch]:
        for _ in range(self.block):
            yield next(self.running)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(trainer: Trainer, args: argparse.Namespace) -> None:
    device = trainer.precision.device
    source = Slice(trainer.train_loader)
    source.block = args.block
    trainer.train_loader = source  # type: ignore[assignment]
    trainer.model.train()
    trainer.emit("on_epoch_start")

    trainer.train_batches()  # loader processes start, kernels are chosen
    generator = torch.Generator().manual_seed(0)
    shape = (args.batch_size, 3, args.size, args.size)
    images = torch.randn(shape, generator=generator).to(device, memory_format=torch.channels_last)
    labels = torch.arange(args.batch_size, device=device) % 2
    compute_block(trainer, images, labels, args.block)

    whole, compute = [], []
    for _ in range(args.blocks):
        synchronize(device)
        start = time.perf_counter()
        trainer.train_batches()
        synchronize(device)
        middle = time.perf_counter()
        compute_block(trainer, images, labels, args.block)
        synchronize(device)
        whole.append(middle - start)
        compute.append(time.perf_counter() - middle)
    trainer.emit("on_fit_end")  # the progress display gives stdout back
    num_images = args.block * args.batch_size
    ratios = [b / a for a, b in zip(whole, compute, strict=True)]
    print(f"{args.model}, {args.size} px, batches of {args.batch_size}, {device}, "
          f"{torch.get_num_threads()} threads, {trainer.precision.name}")  # fmt: skip
    print(f"end to end  {num_images * args.blocks / sum(whole):8.1f} images/s")
    print(f"compute     {num_images * args.blocks / sum(compute):8.1f} images/s")
    print(f"ratio       {sum(compute) / sum(whole):8.3f}  (median of blocks "
          f"{statistics.median(ratios):.3f})")  # fmt: skip


def compute_block(trainer: Trainer, images: torch.Tensor, labels: torch.Tensor, count: int) -> None:
    optimizer = trainer.state.optimizer
    for _ in range(count):
        optimizer.zero_grad(set_to_none=True)
        with trainer.precision.autocast():
            loss = trainer.criterion(trainer.model(images), labels)
        torch.autograd.backward(loss)
        optimizer.step()


if __name__ == "__main__":
    main()
