"""Which images make up which batch of which epoch."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from pochitrain.data.dataset import Labels
from pochitrain.error import require
from pochitrain.ranks import Ranks
from pochitrain.seed import derive_seed

SampleKey = tuple[int, int]
"""(epoch, index): what a loader worker is asked for. Augmentation depends on the epoch too."""


class EpochBatches:
    """Batches of sample keys; a function of (seed, epoch), so any epoch can start at any batch.

    Attributes:
        epoch: 0-based, set before iterating.
        start_batch: batches of the epoch that are already done.
    """

    def __init__(
        self,
        labels: Labels,
        batch_size: int,
        *,
        seed: int,
        shuffle: bool,
        balanced: bool = False,
        ranks: Ranks | None = None,
    ) -> None:
        """Plan batches.

        Args:
            labels: class of each sample.
            batch_size: samples per batch; the last one may be smaller.
            seed: of the order.
            shuffle: a new order each epoch; else as listed.
            balanced: draw with replacement so that classes come equally often.
            ranks: of the processes that share each batch.
        """
        self.labels = torch.from_numpy(np.array(labels, dtype=np.int64))
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.balanced = balanced
        self.ranks = ranks or Ranks()
        self.epoch = 0
        self.start_batch = 0

    def order(self) -> Tensor:
        """Sample indices of the epoch, in order: int64, shape (N,)."""
        num_samples = len(self.labels)
        if not self.shuffle:
            return torch.arange(num_samples)
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "order", self.epoch))
        if self.balanced:
            weights = 1 / torch.bincount(self.labels).double()
            return torch.multinomial(
                weights[self.labels], num_samples, replacement=True, generator=generator
            )
        return torch.randperm(num_samples, generator=generator)

    def bounds(self) -> list[tuple[int, int]]:
        """(start, stop) of each batch. When training, a single last sample joins the batch before
        it: batch norm cannot work on one."""
        num_samples, size = len(self.labels), self.batch_size
        starts = list(range(0, num_samples, size))
        if self.shuffle and len(starts) > 1 and num_samples % size == 1 and size > 1:
            starts.pop()
        return list(zip(starts, [*starts[1:], num_samples], strict=True))

    def __iter__(self) -> Iterator[list[SampleKey]]:
        order = self.order()
        for bounds in self.bounds()[self.start_batch :]:
            start, stop = self.share(*bounds)
            if start < stop:
                yield [(self.epoch, index) for index in order[start:stop].tolist()]

    def share(self, start: int, stop: int) -> tuple[int, int]:
        """What this process takes of the batch order[start:stop]: an equal part, to one image.

        A batch of fewer images than processes is not divided. In training each process takes all
        of it (`num_copies`), so that none is without an image, else the first one.
        """
        num, rank, size = stop - start, self.ranks.rank, self.ranks.world_size
        if num >= size:
            return start + num * rank // size, start + num * (rank + 1) // size
        return (start, stop) if self.shuffle or rank == 0 else (stop, stop)

    def num_copies(self, num: int) -> int:
        """How many processes train on the same images, in a batch of `num`."""
        return 1 if num >= self.ranks.world_size else self.ranks.world_size

    def __len__(self) -> int:
        """Batches in a whole epoch, of all processes together."""
        num_samples, size = len(self.labels), self.batch_size
        joined = self.shuffle and num_samples > size > 1 and num_samples % size == 1
        return -(-num_samples // size) - joined


def check_accumulation(gradient_accumulation: int, num_batches: int) -> None:
    """An optimizer step ends with the epoch, so it cannot have more batches than one.

    Raises:
        ConfigError: if it is to have more.
    """
    require(
        gradient_accumulation <= num_batches,
        "gradient_accumulation",
        f"at most the number of batches in an epoch ({num_batches})",
        gradient_accumulation,
        f"For one optimizer step per epoch use gradient_accumulation={num_batches}.",
    )
