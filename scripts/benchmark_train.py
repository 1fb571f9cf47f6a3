"""How much of the computing speed a whole training run keeps, measured in one go.

    python scripts/benchmark_train.py --size 224 --cache on|off [--model resnet18] [overrides]

Two loops over the same model, optimizer and batch size take turns in short blocks, so that
whatever else the machine does hits both alike:

    end to end   our Trainer: JPEG files from disk, decoding, augmentation, loader processes,
                 checked loss, metrics, progress; everything but validation and checkpoints
    compute      forward, loss, backward, step on one batch that is already in memory

Prints images/s of both and their ratio (1.0: the data path costs nothing), the median of the
blocks. With --cache on, an epoch that fills the cache comes first and is not measured.

The images are JPEG crops of the two photographs that scikit-learn ships, 500 x 375 px, or with
--data those of a folder of your own (ROOT/<class>/picture).
"""

# ruff: noqa: E402 (stop_spinning must come before torch is imported)
import argparse
import os
import tempfile
from pathlib import Path

from pochitrain.threads import stop_spinning

stop_spinning()  # as a run does, before torch is imported

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from PIL import Image
from sklearn.datasets import load_sample_images

from pochitrain.config.registry import register_config
from pochitrain.engine.device import select_device, select_precision
from pochitrain.paths import config_directory
from pochitrain.run.build import RunParts, build_parts
from pochitrain.run.measure import Workbench, in_turns, median_ratio
from pochitrain.run.summary import describe_step
from pochitrain.run.train import set_backends
from pochitrain.seed import seed_everything

SIZE = (500, 375)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--size", type=int, default=224, help="side in px that the model sees")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--cache", choices=("on", "off"), default="off")
    parser.add_argument("--data", type=Path, help="folder of pictures; default: crops of photos")
    parser.add_argument("--images", type=int, default=400, help="number of crops")
    parser.add_argument("--blocks", type=int, default=10, help="blocks of each kind")
    parser.add_argument("--block", type=int, default=4, help="batches in a block")
    parser.add_argument("overrides", nargs="*", help="such as data.num_workers=1")
    args = parser.parse_intermixed_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")  # nobody else's, and empty
        if args.data is None:
            args.data = folder / "photos"
            write_pictures(args.data, args.images)
        cfg = compose_config(args)
        precision = select_precision(cfg.precision, select_device(cfg.device))
        set_backends(cfg, precision.device)
        seed_everything(cfg.seed)
        measure(args, cfg, build_parts(cfg, precision), folder)


def write_pictures(root: Path, count: int) -> None:
    """Random JPEG crops of two photographs (640 x 427 px), enlarged where they must be."""
    generator = np.random.default_rng(0)
    for name, photo in zip(("china", "flower"), load_sample_images().images, strict=True):
        (root / name).mkdir(parents=True)
        for i in range((count + 1) // 2):
            height = int(generator.integers(200, 375))
            width = height * 4 // 3
            top = int(generator.integers(0, photo.shape[0] - height))
            left = int(generator.integers(0, photo.shape[1] - width))
            crop = Image.fromarray(photo[top : top + height, left : left + width])
            crop.resize(SIZE).save(root / name / f"{i:05d}.jpg", quality=90)


def compose_config(args: argparse.Namespace) -> DictConfig:
    register_config()
    overrides = [
        "data=folder",
        "transform=folder",
        f"data.train_root={args.data}",
        f"data.cache={args.cache}",
        f"transform.size={args.size}",
        f"batch_size={args.batch_size}",
        "model=torchvision",
        f"model.name={args.model}",
        *args.overrides,
    ]
    with initialize_config_dir(str(config_directory())):
        return compose("config", overrides)


def measure(args: argparse.Namespace, cfg: DictConfig, parts: RunParts, folder: Path) -> None:
    first = 0
    if args.cache == "on":
        for _ in parts.train_loader.epoch(0):
            pass
        first = 1
    work = Workbench(cfg, parts, folder, first)
    try:
        work.train(args.block)  # loader processes start, kernels are chosen
        work.compute(args.block)
        sides = {
            "whole": lambda: work.train(args.block),
            "compute": lambda: work.compute(args.block),
        }
        found = in_turns(sides, rounds=args.blocks)
    finally:
        work.close()
    whole, compute = found["whole"], found["compute"]
    images = args.block * args.blocks * args.batch_size
    print(f"{args.model}, {args.size} px, batches of {args.batch_size}, cache {args.cache}")
    print(f"device      {parts.precision.device}, {parts.precision.name}, "
          f"{torch.get_num_threads()} threads")  # fmt: skip
    print(f"step        {describe_step(cfg, parts)}")
    print(f"end to end  {images / sum(whole):8.1f} images/s")
    print(f"compute     {images / sum(compute):8.1f} images/s")
    print(f"ratio       {median_ratio(compute, whole):8.3f}")


if __name__ == "__main__":
    main()
