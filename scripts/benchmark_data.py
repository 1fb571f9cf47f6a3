"""How fast images come out of the loader, and what a large folder costs at the start.

    python scripts/benchmark_data.py [--images 400] [--num-workers 0] [--rounds 5]
    python scripts/benchmark_data.py --files 1000000

Loader only, no model: images/s as a ratio to torchvision's ImageFolder in a DataLoader with the
same transforms, batch size and number of processes. The sides take turns, an epoch each, so that
whatever else the machine does hits all alike; the ratio is the median of the rounds.

    cache off       as data.cache=off: every image is decoded in every epoch
    first epoch     with an empty cache, which is filled meanwhile
    second epoch    from the cache

The images are JPEG crops of the two photographs that scikit-learn ships, 500 x 375 px. With
--files, also the list of images: hard links to some of them, CPU time as a ratio to a bare walk
with os.scandir, and bytes of memory per image.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from pochitrain.data.dataset import fingerprint
from pochitrain.data.folder import open_folder
from pochitrain.data.loader import EpochLoader, build_loader
from pochitrain.data.sampler import EpochBatches
from pochitrain.transform.pipeline import build_pipeline

SIZE = (500, 375)
NORMALIZE = [
    v2.ToImage(),
    v2.ToDtype(torch.float32, scale=True),
    v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
]
PIPELINES: dict[str, list[Any]] = {
    "64 px, Resize + CenterCrop": [v2.Resize(64), v2.CenterCrop(64), *NORMALIZE],
    "224 px, RandomResizedCrop": [v2.RandomResizedCrop(224), v2.RandomHorizontalFlip(), *NORMALIZE],
}
LINKS_PER_FILE = 50_000
"""Hard links to one file; ext4 allows 65,000."""
FILES_PER_FOLDER = 1_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--num-workers", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=0, help="length of the list; 0 = leave it out")
    parser.add_argument("--folder", type=Path, help="where to put the files; default: temporary")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
        photos = Path(folder) / "photos"
        write_photos(photos, args.images)
        for name, steps in PIPELINES.items():
            measure_loaders(name, steps, photos, args)
        if args.files:
            measure_index(photos, Path(folder) / "links", args.files)


def write_photos(root: Path, count: int) -> None:
    """Random JPEG crops of two photographs (640 x 427 px), enlarged."""
    generator = np.random.default_rng(0)
    for name, photo in zip(("china", "flower"), load_sample_images().images, strict=True):
        (root / name).mkdir(parents=True)
        for i in range((count + 1) // 2):
            height = int(generator.integers(225, 420))
            width = height * 4 // 3
            top = int(generator.integers(0, photo.shape[0] - height))
            left = int(generator.integers(0, photo.shape[1] - width))
            crop = Image.fromarray(photo[top : top + height, left : left + width])
            crop.resize(SIZE).save(root / name / f"{i:05d}.jpg", quality=90)


def measure_loaders(name: str, steps: list[Any], root: Path, args: argparse.Namespace) -> None:
    theirs = build_theirs(root, steps, args)
    off, kept = build_ours(root, steps, args, "off"), build_ours(root, steps, args, "on")
    for _ in kept.epoch(0):
        pass
    for source in (theirs, off.epoch(0)):  # processes start, files come into memory
        for _ in source:
            pass
    rates: dict[str, list[float]] = {}
    for number in range(1, args.rounds + 1):
        empty = f"{os.environ['XDG_CACHE_HOME']}-{number}"
        sides: dict[str, Callable[[], Iterable[Any]]] = {
            "ImageFolder": lambda: theirs,
            "cache off": lambda: off.epoch(number),  # noqa: B023
            "first epoch": lambda: first_epoch(root, steps, args, empty),  # noqa: B023
            "second epoch": lambda: kept.epoch(number),  # noqa: B023
        }
        order = list(sides) if number % 2 else list(sides)[::-1]
        for side in order:
            start = time.perf_counter()
            for _ in sides[side]():
                pass
            rates.setdefault(side, []).append(args.images / (time.perf_counter() - start))
        shutil.rmtree(empty)
    off.close()
    kept.close()
    print(f"\n{name}: {args.images} JPEG files of {SIZE[0]} x {SIZE[1]} px, batches of "
          f"{args.batch_size}, {args.num_workers} loader processes")  # fmt: skip
    for side in ("ImageFolder", "cache off", "first epoch", "second epoch"):
        ratios = [a / b for a, b in zip(rates[side], rates["ImageFolder"], strict=True)]
        print(f"  {side:13} {statistics.median(rates[side]):8.0f} images/s  "
              f"ratio {statistics.median(ratios):6.2f}  "
              f"({min(ratios):.2f} to {max(ratios):.2f})")  # fmt: skip


def build_theirs(root: Path, steps: list[Any], args: argparse.Namespace) -> DataLoader[Any]:
    return DataLoader(
        ImageFolder(str(root), v2.Compose(steps)),
        args.batch_size,
        shuffle=True,
        num_workers=args.num_workers,
        persistent_workers=args.num_workers > 0,
    )


def build_ours(root: Path, steps: list[Any], args: argparse.Namespace, cache: str) -> EpochLoader:
    return build_loader(
        open_folder(train_root=str(root)).train,
        build_pipeline(steps),
        batch_size=args.batch_size,
        seed=0,
        device=torch.device("cpu"),
        shuffle=True,
        num_workers=args.num_workers,
        cache=cache,
        cache_gb=100.0,
    )


def first_epoch(
    root: Path, steps: list[Any], args: argparse.Namespace, empty: str
) -> Iterable[Any]:
    """An epoch with an empty cache; loader processes start in it, where there are some."""
    usual = os.environ["XDG_CACHE_HOME"]
    dataset_known = Path(usual, "pochitrain")
    Path(empty, "pochitrain").mkdir(parents=True)
    for index in dataset_known.glob("index-*.npz"):  # the files have been checked before
        shutil.copy2(index, Path(empty, "pochitrain"))
    os.environ["XDG_CACHE_HOME"] = empty
    try:
        source = build_ours(root, steps, args, "on")
        yield from source.epoch(0)
        source.close()
    finally:
        os.environ["XDG_CACHE_HOME"] = usual


def measure_index(photos: Path, root: Path, count: int) -> None:
    sources = sorted(photos.rglob("*.jpg"))
    if len(sources) * LINKS_PER_FILE < count:
        raise SystemExit(f"--files must be at most {len(sources) * LINKS_PER_FILE:,} here")
    for i in range(count):
        folder = root / f"class_{i // FILES_PER_FOLDER:05d}"
        if i % FILES_PER_FOLDER == 0:
            folder.mkdir(parents=True)
        os.link(sources[i // LINKS_PER_FILE], folder / f"photo_{i:09d}.jpg")
    time.sleep(3)  # folders that have just changed would be read again
    start = time.perf_counter()
    open_folder(train_root=str(root))
    first_s = time.perf_counter() - start
    ratios = []
    for _ in range(3):
        walk_s = cpu_seconds(lambda: walk(str(root)))
        ours_s = cpu_seconds(lambda: fingerprint(open_folder(train_root=str(root))))
        ratios.append(ours_s / walk_s)
    tracemalloc.start()
    data = open_folder(train_root=str(root))
    batches = EpochBatches(data.train.labels, 32, seed=0, shuffle=True)
    order = batches.order()
    resident = tracemalloc.get_traced_memory()[0] + order.nbytes + batches.labels.nbytes
    tracemalloc.stop()
    print(f"\nlist of {count:,} files in {count // FILES_PER_FOLDER:,} folders")
    print(f"  first start   {first_s:8.1f} s, first bytes of all files read")
    print(f"  second start  {statistics.median(ratios):8.2f} x the CPU of a bare walk "
          "(list and fingerprint)")  # fmt: skip
    print(f"  memory        {resident / count:8.0f} bytes per image (list, labels, order)")


def cpu_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def walk(folder: str) -> int:
    """Count the files; the least that a program can do which lists them."""
    count = 0
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    waiting.append(entry.path)
                else:
                    count += 1
    return count


if __name__ == "__main__":
    main()
