"""Running a dataset through the network in batches. Unreadable images are reported, not fatal."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pochitrain.data.dataset import ImageDataset
from pochitrain.data.decode import UnreadableImageError
from pochitrain.data.worker import (
    default_num_workers,
    outlive_signals,
    start_method,
    translate_worker_errors,
)
from pochitrain.inference.budget import PixelBudget, count_pixels
from pochitrain.inference.classifier import Classifier
from pochitrain.seed import seeded_cpu

Sample = tuple[int, Tensor | None, str]
"""Index, tensor of shape (3, H, W) or None, and the reason if it is None."""


@dataclass
class Answers:
    """Logits of all readable images, in their order, and the unreadable ones."""

    indices: Tensor
    """int64, shape (N,): position of each row of `logits` in the dataset."""
    logits: Tensor
    """float32 on the CPU, shape (N, C)."""
    unreadable: dict[int, str] = field(default_factory=dict)
    """Position in the dataset -> reason."""
    forward_s: float = 0.0
    """Seconds in the forward pass, without the first batch (warm-up)."""
    total_s: float = 0.0
    """Seconds from the end of the first batch to the end of the last."""
    timed: int = 0
    """Number of images in these two times."""


class Decoded(Dataset[Sample]):
    """A dataset that decodes and transforms images as in validation."""

    def __init__(self, dataset: ImageDataset, classifier: Classifier, budget: PixelBudget) -> None:
        self.dataset = dataset
        self.prepare = partial(classifier.prepare, budget=budget)
        self.seed = int(classifier.config.get("seed", 0))

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        try:
            image = self.dataset.load(index)
            with seeded_cpu(self.seed, "augment", 0, index):
                return index, self.prepare(image), ""
        except UnreadableImageError as error:
            return index, None, str(error)


class Stacked(NamedTuple):
    """Images of a batch that have the same size."""

    indices: list[int]
    images: Tensor
    """float32, shape (B, 3, H, W)."""


def stack(samples: list[Sample]) -> tuple[list[Stacked], dict[int, str]]:
    """Stack the readable samples, one stack per image size.

    In training, a pipeline that keeps sizes needs images of one size; here sizes may differ.

    Returns:
        The stacks; and index -> reason of the unreadable samples.
    """
    by_shape: dict[tuple[int, ...], list[tuple[int, Tensor]]] = {}
    for index, image, _ in samples:
        if image is not None:
            by_shape.setdefault(tuple(image.shape), []).append((index, image))
    stacks = [
        Stacked([index for index, _ in group], torch.stack([image for _, image in group]))
        for group in by_shape.values()
    ]
    return stacks, {index: reason for index, image, reason in samples if image is None}


def classify(
    classifier: Classifier,
    dataset: ImageDataset,
    batch_size: int,
    num_workers: int | None = None,
    max_pixels: int | None = None,
) -> Answers:
    """Run all images of `dataset` through the network.

    Args:
        batch_size: images per forward pass; fewer if they exceed the pixel limit.
        num_workers: loader processes; None = 0 for images in memory, else half the cores.
        max_pixels: limit for a forward pass; an image with more counts as unreadable. None = the
            default of `plan_budget`.

    Raises:
        ConfigError: if `max_pixels` is less than one image of the model's own size.
    """
    budget = classifier.plan_budget(batch_size, max_pixels)
    num_classes = len(classifier.class_names)
    logits = torch.full((len(dataset), num_classes), float("nan"))
    unreadable: dict[int, str] = {}
    speed = Stopwatch()
    for stacks, bad in load_batches(classifier, dataset, batch_size, num_workers, budget):
        unreadable.update(bad)
        before = time.perf_counter()
        for indices, images in stacks:
            logits[indices] = classifier.network(images).cpu()  # .cpu() waits for the device
        speed.lap(time.perf_counter() - before, sum(len(part.indices) for part in stacks))
    readable = [index for index in range(len(dataset)) if index not in unreadable]
    positions = torch.tensor(readable, dtype=torch.int64)
    timed = (speed.forward_s, speed.total_s, speed.timed)
    return Answers(positions, logits[positions], unreadable, *timed)


class Stopwatch:
    """Measures the time in the network and in total, from the end of the first batch on."""

    def __init__(self) -> None:
        self.started: float | None = None
        self.forward_s = self.total_s = 0.0
        self.timed = 0

    def lap(self, forward_s: float, num_images: int) -> None:
        """Count a batch that has just ended, of `num_images` images and `forward_s` seconds."""
        now = time.perf_counter()
        if self.started is None:
            self.started = now
            return
        self.forward_s += forward_s
        self.total_s = now - self.started
        self.timed += num_images


def load_batches(
    classifier: Classifier,
    dataset: ImageDataset,
    batch_size: int,
    num_workers: int | None,
    budget: PixelBudget,
) -> Iterator[tuple[list[Stacked], dict[int, str]]]:
    """The images of the dataset in order, as stacks and reasons (see `stack`).

    If their sizes are known, loader processes make whole batches. Otherwise they send single
    images, since a batch could already have too many pixels.
    """
    if num_workers is None:
        num_workers = 0 if dataset.in_memory else min(default_num_workers(), len(dataset))
    at_once = budget.images_at_once(batch_size)
    loader: DataLoader[Any] = DataLoader(
        Decoded(dataset, classifier, budget),
        batch_size=at_once,
        num_workers=num_workers,
        collate_fn=identity if at_once is None else stack,
        worker_init_fn=outlive_signals,
        multiprocessing_context=start_method(num_workers),
        pin_memory=classifier.network.device.type == "cuda",
        prefetch_factor=4 if num_workers else None,
        generator=torch.Generator().manual_seed(0),
    )
    loaded: Iterator[Any] = translate_worker_errors(loader)
    if at_once is None:
        loaded = map(stack, budget.batches(loaded, batch_size, sample_pixels))
    yield from loaded


def identity(sample: Any) -> Any:
    return sample


def sample_pixels(sample: Sample) -> int:
    """Number of pixels of the image of a sample; 0 for an unreadable one."""
    image = sample[1]
    return 0 if image is None else count_pixels(image)
