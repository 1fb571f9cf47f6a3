"""How long the work on one picture takes on this machine, measured in a few seconds."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor, nn

from pochitrain.data.decode import UnreadableImageError
from pochitrain.engine.device import Precision
from pochitrain.run.build import RunParts
from pochitrain.run.measure import Workbench
from pochitrain.seed import seeded_cpu

BATCH = 16
MEASURED_S = 0.3
"""Each measurement takes at least this long, after one batch to warm up."""
NUM_LOADED = 24
"""Pictures that are decoded to measure loading."""
LOADED_S = 1.5
"""Large ones are measured for about so long."""


def time_forward(model: nn.Module, size_px: int, precision: Precision) -> float:
    """Seconds per picture for the scores of `model`, in evaluation mode."""
    images = random_images(size_px, precision.device)

    def step() -> None:
        with torch.inference_mode(), precision.autocast():
            model(images)

    model.eval()
    return time_per_picture(step, precision.device)


def time_training(cfg: DictConfig, parts: RunParts) -> float:
    """Seconds per picture for a training step of `parts`, whose weights change."""
    with tempfile.TemporaryDirectory() as folder:
        work = Workbench(cfg, parts, Path(folder))
        try:
            work.compute(1)  # chooses kernels, allocates memory
            seconds, steps = 0.0, 0
            while seconds < MEASURED_S:
                seconds += work.compute(1)
                steps += 1
        finally:
            work.close()
    return seconds / steps / len(work.batch.images)


@dataclass(frozen=True)
class Loading:
    """What loading a picture takes in one process, in seconds."""

    once_s: float
    """Reading it, and the steps whose result is kept for later epochs."""
    again_s: float
    """The rest, in every epoch."""

    @property
    def total_s(self) -> float:
        return self.once_s + self.again_s


def time_loading(
    num_images: int,
    read: Callable[[int], Image.Image],
    prefix: Callable[[Image.Image], Image.Image],
    rest: Callable[[Image.Image], object],
) -> Loading:
    """Measure on some pictures, drawn from the whole set.

    Args:
        read: position of a picture -> the picture; may raise UnreadableImageError.
    """
    chosen = np.random.default_rng(0).permutation(num_images)[:NUM_LOADED].tolist()
    first = again = 0.0
    done = 0
    with seeded_cpu(0, "measure"):
        for index in chosen:
            start = time.perf_counter()
            try:
                image = prefix(read(index))
            except UnreadableImageError:  # said where it is read for training
                continue
            middle = time.perf_counter()
            rest(image)
            first += middle - start
            again += time.perf_counter() - middle
            done += 1
            if first + again > LOADED_S:
                break
    done = max(done, 1)
    return Loading(first / done, again / done)


def time_per_picture(step: Callable[[], None], device: torch.device) -> float:
    step()
    synchronize(device)
    start, steps = time.perf_counter(), 0
    while steps == 0 or time.perf_counter() - start < MEASURED_S:
        step()
        synchronize(device)
        steps += 1
    return (time.perf_counter() - start) / steps / BATCH


def random_images(size_px: int, device: torch.device) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn((BATCH, 3, size_px, size_px), generator=generator)
    return images.to(device, memory_format=torch.channels_last)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
