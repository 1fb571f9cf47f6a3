"""Images to batches on the device."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pochitrain.data.cache_plan import CacheSettings, Preparation, prepare
from pochitrain.data.dataset import ImageDataset
from pochitrain.data.decode import UnreadableImageError
from pochitrain.data.sampler import EpochBatches, SampleKey
from pochitrain.data.worker import (
    default_num_workers,
    end_workers,
    num_cores,
    outlive_signals,
    start_method,
    translate_worker_errors,
)
from pochitrain.error import ConfigError, DataError, PochiError
from pochitrain.seed import seeded_cpu
from pochitrain.text import first_line

Transform = Callable[[Image.Image], Tensor]
BatchTransform = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Images (B, 3, H, W) and labels (B,) -> images and labels or class probabilities (B, C)."""


class Batch(NamedTuple):
    """B images of H x W pixels."""

    images: Tensor
    """float32, shape (B, 3, H, W)."""
    labels: Tensor
    """int64, shape (B,); or class probabilities, float32, shape (B, C), after mixup."""
    indices: Tensor
    """Position of each image in its set, int64, shape (B,)."""


Sample = tuple[Tensor, int, int]
"""Image, label, position in the set."""


class TransformedImages(Dataset[Sample]):
    """Decodes and transforms one image; its random draws depend on (seed, epoch, index) only."""

    def __init__(
        self, dataset: ImageDataset, preparation: Preparation, seed: int, key: str
    ) -> None:
        """Transform the images of `dataset`.

        Args:
            key: dotted key of the transform, for messages.
        """
        self.dataset = dataset
        self.preparation = preparation
        self.seed = seed
        self.key = key

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: SampleKey) -> Sample:
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: list[SampleKey]) -> list[Sample]:
        """The samples of a batch (torch asks for them at once).

        Raises:
            DataError: naming all unreadable images of the batch.
        """
        samples, bad = [], []
        for key in keys:
            try:
                samples.append(self.load(key))
            except UnreadableImageError as error:
                bad.append(f"Cannot read {self.dataset.name(key[1])}: {error}.")
        if bad:
            raise DataError("\n".join(bad))
        return samples

    def load(self, key: SampleKey) -> Sample:
        epoch, index = key
        cache = self.preparation.cache
        if cache is None:
            image = self.dataset.load(index)
        else:
            image = cache.load(index, lambda: self.load_prefix(index))
        with seeded_cpu(self.seed, "augment", epoch, index):
            sample: Tensor = self.apply(self.preparation.rest, image, index)
        return sample, int(self.dataset.labels[index]), index

    def load_prefix(self, index: int) -> Image.Image:
        """The image after the deterministic beginning of the pipeline."""
        assert self.preparation.prefix is not None
        prepared: Image.Image = self.apply(self.preparation.prefix, self.dataset.load(index), index)
        return prepared

    def apply(self, transform: Callable[..., Any], image: Image.Image, index: int) -> Any:
        try:
            return transform(image)
        except PochiError:
            raise
        except Exception as error:  # steps may be of the person's own
            raise DataError(
                f"{self.key} fails on {self.dataset.name(index)} ({image.width} x {image.height} "
                f"px): {type(error).__name__}: {first_line(error).rstrip('.')}."
            ) from error


def collate(samples: list[Sample]) -> Batch:
    """Stack samples.

    Raises:
        ConfigError: if the images have different sizes.
    """
    images, labels, indices = zip(*samples, strict=True)
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) > 1:
        raise ConfigError(size_message(sorted(shapes)))
    return Batch(torch.stack(images), torch.tensor(labels), torch.tensor(indices))


def size_message(shapes: list[tuple[int, ...]]) -> str:
    seen = " and ".join(map(str, shapes[:2]))
    return (
        f"transform must give pictures of one size, got {seen}. Add Resize and CenterCrop, or "
        "choose transform=imagenet."
    )


@dataclass
class EpochLoader:
    """Batches of one split, on the device, epoch by epoch."""

    loader: DataLoader[Any]
    batches: EpochBatches
    device: torch.device
    non_blocking: bool
    memory_format: torch.memory_format
    dataset: ImageDataset
    batch_transform: BatchTransform | None = None
    cache_note: str = ""
    """What is kept of decoded images, for the person; empty where there is nothing to say."""

    @property
    def num_samples(self) -> int:
        return len(self.dataset)

    def __len__(self) -> int:
        """Batches in a whole epoch."""
        return len(self.batches)

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[Batch]:
        """The batches of an epoch (0-based) from `start_batch` on.

        Raises:
            DataError: for an image that cannot be read any more, or a loader process that died.
        """
        self.batches.epoch, self.batches.start_batch = epoch, start_batch
        for i, batch in enumerate(translate_worker_errors(self.loader), start_batch):
            yield self.mix(self.to_device(batch), epoch, i)

    def sample(self, num_images: int) -> Tensor:
        """The first image, transformed, `num_images` times: shape (num_images, 3, H, W).

        Raises:
            ConfigError: if it cannot be read or transformed.
        """
        try:
            image, label, index = self.loader.dataset[0, 0]
        except DataError as error:  # nothing has been trained yet
            raise ConfigError(str(error)) from error
        return self.to_device(collate([(image, label, index)] * num_images)).images

    def close(self) -> None:
        """End the loader processes at once; the next epoch would start new ones."""
        end_workers(self.loader._iterator)
        self.loader._iterator = None

    def mix(self, batch: Batch, epoch: int, index: int) -> Batch:
        """Apply the batch transform; its draws depend on (seed, epoch, batch) only."""
        if self.batch_transform is None:
            return batch
        with seeded_cpu(self.batches.seed, "mix", epoch, index):
            images, labels = self.batch_transform(batch.images, batch.labels)
        return Batch(images.contiguous(memory_format=self.memory_format), labels, batch.indices)

    def to_device(self, batch: Batch) -> Batch:
        images, labels, indices = batch
        return Batch(
            images.to(
                self.device, non_blocking=self.non_blocking, memory_format=self.memory_format
            ),
            labels.to(self.device, non_blocking=self.non_blocking),
            indices,
        )


def build_loader(
    dataset: ImageDataset,
    transform: Transform,
    *,
    batch_size: int,
    seed: int,
    device: torch.device,
    shuffle: bool,
    num_workers: int | None = None,
    pin_memory: bool | None = None,
    non_blocking: bool = True,
    balanced_sampling: bool = False,
    channels_last: bool = False,
    batch_transform: BatchTransform | None = None,
    cache: str = "off",
    cache_gb: float = 8.0,
    cache_px: int | None = None,
) -> EpochLoader:
    """Loader of one split. The batches depend neither on `num_workers` nor on `cache`.

    Args:
        transform: PIL image (RGB) -> float32 tensor, shape (3, H, W).
        seed: of the order and of the augmentation.
        num_workers: processes; None = 0 for images in memory and when computing on one or two
            cores, else half the cores (at most 8).
        pin_memory: None = where the device is a GPU.
        batch_transform: of whole batches, on the device.
        cache: "on", "off" or "auto": keep decoded images in files; auto = where they fit.
        cache_gb: what all such files may take, in GB (10^9 bytes).
        cache_px: side in pixels that larger images are reduced to before a random crop.

    Raises:
        ConfigError: cache="on" where there can be none.
    """
    key = f"transform.{'train' if shuffle else 'val'}"
    preparation = prepare(dataset, transform, CacheSettings(cache, cache_gb, cache_px), key)
    batches = EpochBatches(
        dataset.labels, batch_size, seed=seed, shuffle=shuffle, balanced=balanced_sampling
    )
    if num_workers is None:
        small = device.type == "cpu" and num_cores() <= 2
        # Two cores are busy computing: a process beside them only makes their threads wait.
        num_workers = 0 if dataset.in_memory or small else default_num_workers()
    on_gpu = device.type == "cuda"
    loader: DataLoader[Any] = DataLoader(
        TransformedImages(dataset, preparation, seed, key),
        batch_sampler=batches,
        num_workers=num_workers,
        collate_fn=collate,
        worker_init_fn=outlive_signals,
        pin_memory=on_gpu if pin_memory is None else pin_memory and on_gpu,
        multiprocessing_context=start_method(num_workers),
        persistent_workers=num_workers > 0,
        prefetch_factor=4 if num_workers else None,
        # A generator of its own, so that starting an epoch draws nothing from the global one.
        generator=torch.Generator().manual_seed(seed),
    )
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    return EpochLoader(
        loader,
        batches,
        device,
        non_blocking,
        memory_format,
        dataset,
        batch_transform,
        preparation.note,
    )
