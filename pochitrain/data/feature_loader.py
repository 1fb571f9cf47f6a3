"""Batches of features, where the backbone has already seen the images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from pochitrain.data.loader import Batch, EpochLoader
from pochitrain.data.sampler import EpochBatches

ON_GPU_BYTES = 2 * 10**9
"""Features that together take no more are copied to a GPU once, not batch by batch."""

GATHERED = 32
"""Batches that are put together at once."""


@dataclass
class FeatureLoader(EpochLoader):
    """An EpochLoader whose batches hold features, shape (B, D), in place of images.

    Everything else is that of the loader of the images, `sample` included.
    """

    views: tuple[Tensor, ...] = ()
    """Features of all images, float32, shape (N, D); epoch e (0-based) uses view e % len(views)."""

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Batch]:
        """The batches of an epoch (0-based) from `start_batch` on; no process is started."""
        rows, labels = self.views[epoch % len(self.views)], self.batches.labels
        self.batches.epoch = epoch
        order = self.batches.order()
        bounds = self.batches.bounds()
        for first in range(start_batch // GATHERED * GATHERED, len(bounds), GATHERED):
            group = bounds[first : first + GATHERED]
            begin, end = group[0][0], group[-1][1]
            chosen = order[begin:end]
            if self.batches.shuffle:
                features = rows.index_select(0, chosen.to(rows.device))
            else:
                features = rows[begin:end]
            features = features.to(self.device, non_blocking=self.non_blocking)
            targets = labels[chosen].to(self.device, non_blocking=self.non_blocking)
            # A resumed run gathers the same group: where in memory a batch begins may decide the
            # last bits of a product.
            for start, stop in group[max(start_batch - first, 0) :]:
                part = slice(start - begin, stop - begin)
                yield Batch(features[part], targets[part], chosen[part])


def build_feature_loader(
    images: EpochLoader, batches: EpochBatches, views: Sequence[Tensor]
) -> FeatureLoader:
    """The loader of the features of the images that `images` loads.

    Args:
        batches: which images make which batch.
        views: on the CPU.
    """
    own = {field.name: getattr(images, field.name) for field in fields(EpochLoader)}
    moved = tuple(place_views(views, images.device))
    return FeatureLoader(**{**own, "batches": batches}, views=moved)


def place_views(views: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """The views on `device`, or where they are if they would take too much room there."""
    small = sum(view.nbytes for view in views) <= ON_GPU_BYTES
    return [view.to(device) if small else view for view in views]
