"""The feature pass of strategy=probe against the bare forward pass, in turns.

    python scripts/benchmark_features.py PHOTOS [--images 512] [--rounds 3] [overrides]

PHOTOS is a folder of class folders. A round is: the features of the pictures, decoded from their
files, into a new file in a new cache directory; then the same backbone on as many pictures that are
ready in memory. Prints images/s of both for each round, and the median of the ratios.

On a CPU loading and computing share the cores, so what a picture costs besides the forward pass
shows in full. The third number is the feature pass over pictures whose decoded form is in the
cache, as after an earlier run. GOMP_SPINCOUNT=3000 makes threads wait as the program's own do.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from torch import Tensor

from pochitrain.config.component import Components
from pochitrain.config.registry import register_config
from pochitrain.config.root import validate
from pochitrain.data.dataset import DataSplits, Subset, require_splits
from pochitrain.data.loader import EpochLoader
from pochitrain.engine.device import select_device, select_precision
from pochitrain.engine.interrupt import StopRequest
from pochitrain.model.head import split_head
from pochitrain.paths import config_directory
from pochitrain.run.build import build_in_order, build_model, build_pipelines
from pochitrain.seed import seed_everything
from pochitrain.strategy.feature_pass import FeaturePass
from pochitrain.threads import limit_threads


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("overrides", nargs="*", default=[], help="such as model=resnet18")
    args = parser.parse_args()
    register_config()
    limit_threads()
    words = ["strategy=probe", "model=efficientnet_lite0", "data=folder", *args.overrides]
    words += [f"data.train_root={args.photos.resolve()}", "data.val_fraction=0.2"]
    with initialize_config_dir(str(config_directory())):
        cfg = compose("config", words)
    validate(cfg)
    seed_everything(cfg.seed)
    measure(Components(cfg), args.images, args.rounds)


def measure(parts: Components, num_images: int, rounds: int) -> None:
    cfg = parts.cfg
    precision = select_precision(str(cfg.precision), select_device(cfg.device))
    data = require_splits(parts.build_data())
    pipelines, _ = build_pipelines(parts)
    backbone = split_head(build_model(parts, data, precision.device))
    passes = FeaturePass(backbone, precision, StopRequest(), 10**11, [])
    found: dict[str, list[float]] = {"files": [], "bare": [], "cache": []}
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["XDG_CACHE_HOME"] = folder
            chosen = choose(data, num_images)
            images = build_in_order(parts, chosen, pipelines, "val", precision.device)
            found["files"].append(time_pass(passes, images, number, len(chosen)))
            if number == 0:
                ready = [batch.images for batch in images.epoch(0)]
            found["bare"].append(time_bare(passes, ready))
            found["cache"].append(time_pass(passes, images, number + rounds, len(chosen)))
            images.close()
        print("  ".join(f"{name} {speeds[-1]:.1f}" for name, speeds in found.items()), "images/s")
    for name in ("files", "cache"):
        ratios = [a / b for a, b in zip(found[name], found["bare"], strict=True)]
        print(
            f"features from {name} / bare forward: {statistics.median(ratios):.3f} "
            f"({min(ratios):.3f}-{max(ratios):.3f})"
        )


def choose(data: DataSplits, num_images: int) -> Subset:
    """So many training images, spread over the classes."""
    train = data.train
    assert isinstance(train, Subset)
    step = max(len(train) // num_images, 1)
    return Subset(train.base, list(train.indices)[::step][:num_images])


def time_pass(passes: FeaturePass, images: EpochLoader, number: int, num_images: int) -> float:
    """Images/s of a pass into a file of its own."""
    passes.files.clear()
    start = time.perf_counter()
    features = passes.run(images, f"round {number}", 0, "features")
    assert features.num_reused == 0 and features.is_kept
    return num_images / (time.perf_counter() - start)


def time_bare(passes: FeaturePass, ready: list[Tensor]) -> float:
    start = time.perf_counter()
    for images in ready:
        with torch.inference_mode(), passes.precision.autocast():
            passes.split.features(images)
    if passes.precision.device.type == "cuda":
        torch.cuda.synchronize()
    return sum(map(len, ready)) / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
