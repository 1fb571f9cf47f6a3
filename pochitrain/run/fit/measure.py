"""How long the work on one picture takes on this machine, measured in a few seconds."""

import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from pochitrain.data.dataset import ImageDataset
from pochitrain.data.decode import UnreadableImageError
from pochitrain.engine.device import Precision
from pochitrain.run.build import RunParts
from pochitrain.run.measure import Workbench
from pochitrain.threads import num_cores

BATCH = 16
MEASURED_S = 0.3
"""Each measurement takes at least this long, after one batch to warm up."""
NUM_LOADED = 24
"""Pictures that are decoded to measure loading."""


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


def time_loading(dataset: ImageDataset, transform: Callable[[object], object]) -> float:
    """Seconds per picture for decoding and transforming, with all cores at work."""
    step = max(len(dataset) // NUM_LOADED, 1)
    indices = range(0, len(dataset), step)[:NUM_LOADED]
    start = time.perf_counter()
    for index in indices:
        with suppress(UnreadableImageError):  # said where it is read for training
            transform(dataset.load(index))
    return (time.perf_counter() - start) / len(indices) / num_cores()


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
