"""A training on a GPU from JPEG files, against its bare computation and timm's training step.

    python scripts/benchmark_gpu.py [--model resnet50] [--size 224] [--batch-size 128]
    python scripts/benchmark_gpu.py --device cpu --model resnet18 --steps 3 --batch-size 4

bf16, channels_last; three loops over batches of the same size, which take turns in blocks:

    end to end   our Trainer: JPEG files from disk, decoding, RandomResizedCrop and flip, loader
                 processes, checked loss, metrics, progress
    compute      our model and optimizer on one batch that is in memory: forward, loss, backward,
                 step
    timm         where timm is installed: timm's model of that name with its cross entropy and
                 timm's AdamW on the same batch

Prints images/s, ratios (medians over the blocks), device, versions and date. On a machine without
CUDA it ends with exit code 2, unless another --device is given. The images are those of
scripts/benchmark_train.py (JPEG, 500 x 375 px), the cache is as with --cache.
"""

import argparse
import importlib.util
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import torch
from benchmark_train import compose_config, write_pictures
from torch import nn

from pochitrain.data.loader import Batch
from pochitrain.engine.device import Precision, available_devices, select_device, select_precision
from pochitrain.run.build import build_parts
from pochitrain.run.measure import Workbench, in_turns, median_ratio
from pochitrain.run.summary import describe_step
from pochitrain.run.train import set_backends
from pochitrain.seed import seed_everything
from pochitrain.threads import num_cores


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--size", type=int, default=224, help="side in px that the model sees")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20, help="batches in a block")
    parser.add_argument("--blocks", type=int, default=7, help="blocks of each kind")
    parser.add_argument("--images", type=int, default=4000, help="JPEG files; 500 x 375 px")
    parser.add_argument("--cache", choices=("on", "off"), default="on")
    parser.add_argument("overrides", nargs="*", help="such as data.num_workers=12")
    args = parser.parse_intermixed_args()
    for name in ("size", "batch_size", "steps", "blocks", "images"):
        if getattr(args, name) < 1:
            print(f"--{name.replace('_', '-')} must be >= 1, got {getattr(args, name)}.")
            return 2
    if args.device not in available_devices():
        there = ", ".join(available_devices())
        print(f"--device must be there ({there}), got {args.device!r}: this needs a CUDA GPU.")
        return 2
    args.images = max(args.images if args.device != "cpu" else 0, 2 * args.batch_size)
    with tempfile.TemporaryDirectory() as name:
        run(args, Path(name))
    return 0


def run(args: argparse.Namespace, folder: Path) -> None:
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")  # nobody else's, and empty
    args.data = folder / "photos"
    write_pictures(args.data, args.images)
    rules = ["precision=bf16", "channels_last=true", "optimizer=adamw", f"device={args.device}"]
    if args.device != "cpu":
        rules.append(f"data.num_workers={max(1, num_cores() - 1)}")
    args.overrides = [*rules, *args.overrides]
    cfg = compose_config(args)
    precision = select_precision(cfg.precision, select_device(cfg.device))
    set_backends(cfg, precision.device)
    seed_everything(cfg.seed)
    parts = build_parts(cfg, precision)
    first = 0
    if args.cache == "on":  # an epoch that fills it
        for _ in parts.train_loader.epoch(0):
            pass
        first = 1
    work = Workbench(cfg, parts, folder, first)
    try:
        sides: dict[str, Callable[[], float]] = {
            "end to end": lambda: work.train(args.steps),
            "compute": lambda: work.compute(args.steps),
        }
        other = timm_side(args, work, precision)
        if other is not None:
            sides["timm"] = other
        in_turns(sides)  # loader processes start, kernels are chosen
        found = in_turns(sides, rounds=args.blocks)
    finally:
        work.close()
    print_result(args, found, describe_step(cfg, parts), precision, len(work.batch.images))


def timm_side(
    args: argparse.Namespace, work: Workbench, precision: Precision
) -> Callable[[], float] | None:
    """A block of timm's training step on the same batch; None where timm is not installed."""
    if importlib.util.find_spec("timm") is None:
        return None
    import timm
    from timm.optim import create_optimizer_v2

    num_classes = 2
    model = timm.create_model(args.model, num_classes=num_classes)
    model = model.to(precision.device, memory_format=torch.channels_last).train()
    optimizer = create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=0.01)
    criterion = nn.CrossEntropyLoss()

    def block() -> float:
        work.wait()
        start = time.perf_counter()
        for _ in range(args.steps):
            timm_step(model, optimizer, criterion, precision, work.batch)
        work.wait()
        return time.perf_counter() - start

    return block


def timm_step(
    model: Any, optimizer: Any, criterion: nn.Module, precision: Precision, batch: Batch
) -> None:
    """What timm's train.py does with a batch in bf16: autocast, backward, step, zero_grad."""
    with precision.autocast():
        loss = criterion(model(batch.images), batch.labels)
    torch.autograd.backward(loss)
    optimizer.step()
    optimizer.zero_grad()


def print_result(
    args: argparse.Namespace,
    found: dict[str, list[float]],
    step: str,
    precision: Precision,
    batch_size: int,
) -> None:
    device = str(precision.device)
    if precision.device.type == "cuda":
        device = torch.cuda.get_device_name(precision.device)
    print(f"{args.model}, {args.size} px, batches of {batch_size}, {precision.name}, "
          f"cache {args.cache}, {step}")  # fmt: skip
    print(f"{device}, {num_cores()} cores, torch {torch.__version__}, {date.today()}")
    for name, times in found.items():
        speed = args.steps * batch_size / statistics.median(times)
        print(f"{name:<11} {speed:9.1f} images/s")
    for name in ("compute", "timm"):
        if name in found:
            ratio = median_ratio(found[name], found["end to end"])
            print(f"end to end / {name:<8} {ratio:.3f}")


if __name__ == "__main__":
    sys.exit(main())
