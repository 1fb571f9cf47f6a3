"""Pictures through the network, batch by batch; unreadable ones are reported, not fatal."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pochitrain.data.decode import UnreadableImageError
from pochitrain.data.loader import default_num_workers, size_message
from pochitrain.data.picture_set import PictureSet
from pochitrain.error import ConfigError
from pochitrain.inference.classifier import Classifier
from pochitrain.seed import seeded_cpu

Sample = tuple[int, Tensor | None, str]
"""Index, tensor (3, H, W) or None, and why there is none."""


@dataclass
class Answers:
    """Logits of all readable pictures, in their order, and the others."""

    indices: Tensor
    """int64, shape (N,): position of each row of `logits` in the picture set."""
    logits: Tensor
    """float32 on the CPU, shape (N, C)."""
    unreadable: dict[int, str] = field(default_factory=dict)
    """Position -> reason."""
    forward_s: float = 0.0
    """Seconds in the forward pass, the first batch (warm-up) left out."""
    total_s: float = 0.0
    """Seconds from the end of the first batch to the end of the last."""
    timed: int = 0
    """Pictures in these two times."""


class Decoded(Dataset[Sample]):
    """Decodes and transforms as in validation."""

    def __init__(self, pictures: PictureSet, classifier: Classifier) -> None:
        self.pictures = pictures
        self.pipeline = classifier.pipeline
        self.seed = int(classifier.config.get("seed", 0))

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Sample:
        try:
            picture = self.pictures.load(index)
        except UnreadableImageError as error:
            return index, None, str(error)
        with seeded_cpu(self.seed, "augment", 0, index):
            return index, self.pipeline(picture), ""


def stack(samples: list[Sample]) -> tuple[list[int], Tensor | None, dict[int, str]]:
    """Indices and images (B, 3, H, W) of the readable samples, and the reasons of the others."""
    good = [(index, image) for index, image, _ in samples if image is not None]
    bad = {index: reason for index, image, reason in samples if image is None}
    shapes = {tuple(image.shape) for _, image in good}
    if len(shapes) > 1:
        raise ConfigError(size_message(sorted(shapes)))
    images = torch.stack([image for _, image in good]) if good else None
    return [index for index, _ in good], images, bad


def classify(
    classifier: Classifier,
    pictures: PictureSet,
    batch_size: int,
    num_workers: int | None = None,
) -> Answers:
    """Run all `pictures` through the network.

    Args:
        batch_size: pictures per forward pass.
        num_workers: loader processes; None = 0 for pictures in memory, else half the cores.
    """
    rows: list[Tensor] = []
    order: list[int] = []
    answers = Answers(torch.empty(0, dtype=torch.int64), torch.empty(0, 0))
    started: float | None = None
    for indices, images, bad in load_batches(classifier, pictures, batch_size, num_workers):
        answers.unreadable.update(bad)
        if images is not None:
            before = time.perf_counter()
            rows.append(classifier.network(images).cpu())  # .cpu() waits for the device
            now = time.perf_counter()
            order += indices
            if started is None:
                started = now
            else:
                answers.forward_s += now - before
                answers.total_s = now - started
                answers.timed += len(images)
    answers.indices = torch.tensor(order, dtype=torch.int64)
    answers.logits = torch.cat(rows) if rows else torch.empty(0, len(classifier.class_names))
    return answers


def load_batches(
    classifier: Classifier, pictures: PictureSet, batch_size: int, num_workers: int | None
) -> Iterator[tuple[list[int], Tensor | None, dict[int, str]]]:
    if num_workers is None:
        num_workers = 0 if pictures.in_memory else min(default_num_workers(), len(pictures))
    yield from DataLoader(
        Decoded(pictures, classifier),
        batch_size=batch_size,
        num_workers=num_workers,
        collate_fn=stack,
        pin_memory=classifier.network.device.type == "cuda",
        prefetch_factor=4 if num_workers else None,
        generator=torch.Generator().manual_seed(0),
    )
