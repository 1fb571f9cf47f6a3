"""Images to batches on the device."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from pochitrain.data.cache_plan import CacheSettings, Preparation, prepare
from pochitrain.data.dataset import ImageDataset
from pochitrain.data.decode import UnreadableImageError
from pochitrain.data.sampler import EpochBatches, SampleKey
from pochitrain.data.worker import (
    default_num_workers,
    end_workers,
    outlive_signals,
    start_method,
    translate_worker_errors,
)
from pochitrain.error import ConfigError, DataError, PochiError
from pochitrain.ranks import Ranks
from pochitrain.seed import derive_seed, kept_cpu, seed_cpu, seeded_cpu
from pochitrain.text import first_line
from pochitrain.threads import num_cores
from pochitrain.transform.prefix import draws_from_torch_only
from pochitrain.transform.tail import BatchTail, split_tail

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
        self.body, self.tail = split_tail(preparation.rest)
        self.torch_only = draws_from_torch_only(self.body)

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
        with kept_cpu():  # once, because it takes longer than seeding
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
            image = self.read(index)
        else:
            image = cache.load(index, lambda: self.load_prefix(index))
        seed_cpu(derive_seed(self.seed, "augment", epoch, index), torch_only=self.torch_only)
        result = self.apply(self.body, image, index)
        return self.to_tensor(result, index), int(self.dataset.labels[index]), index

    def to_tensor(self, result: Any, index: int) -> Tensor:
        """The image as bytes, shape (3, H, W), where the rest is done by batch."""
        if self.tail is None:
            tensor: Tensor = result
            return tensor
        if isinstance(result, Image.Image) and result.mode == "RGB":
            return torch.from_numpy(np.array(result)).permute(2, 0, 1)
        tensor = self.apply(self.tail.one_by_one, result, index)
        return tensor

    def load_prefix(self, index: int) -> Image.Image:
        """The image after the deterministic beginning of the pipeline."""
        assert self.preparation.prefix is not None
        prepared: Image.Image = self.apply(self.preparation.prefix, self.read(index), index)
        return prepared

    def read(self, index: int) -> Image.Image:
        load = self.preparation.reduced or self.dataset.load
        return load(index)

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


def collate(samples: list[Sample], tail: BatchTail | None = None) -> Batch:
    """Stack samples.

    Args:
        tail: what the images that are still bytes have to go through.

    Raises:
        ConfigError: if the images have different sizes.
    """
    images, labels, indices = zip(*samples, strict=True)
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) > 1:
        raise ConfigError(size_message(sorted(shapes)))
    if tail is not None and len({image.dtype for image in images}) > 1:
        images = tuple(tail(i[None])[0] if i.dtype == torch.uint8 else i for i in images)
    return Batch(stack(images), torch.tensor(labels), torch.tensor(indices))


def stack(images: Sequence[Tensor]) -> Tensor:
    """Images (3, H, W) as (B, 3, H, W); bytes lie as in PIL, the colours of a pixel together.

    In a loader process they are written to shared memory at once, so that nothing is copied after.
    """
    first = images[0]
    as_bytes = first.dtype == torch.uint8
    parts = [image.permute(1, 2, 0) for image in images] if as_bytes else list(images)
    out = None
    if get_worker_info() is not None:
        size = len(parts) * first.numel() * first.element_size()
        storage = torch.UntypedStorage._new_shared(size)  # type: ignore[no-untyped-call]
        out = torch.empty(0, dtype=first.dtype).set_(storage)
        out = out.view(len(parts), *parts[0].shape)
    stacked = torch.stack(parts, out=out)
    return stacked.permute(0, 3, 1, 2) if as_bytes else stacked


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
    tail: BatchTail | None = None
    """The end of the transform, where it is done by batch."""
    cache_note: str = ""
    """What is kept of decoded images, for the person; empty where there is nothing to say."""
    copies: torch.cuda.Stream | None = None
    """Where batches are copied to a CUDA device."""

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
        """The batch on the device, its images as the model takes them.

        On CUDA, copying and converting happen on a stream of their own, beside the step before.
        """
        if self.device.type != "cuda":
            return self.convert(batch)
        step = torch.cuda.current_stream(self.device)
        if self.copies is None:
            # torch has no types for streams.
            self.copies = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        with torch.cuda.stream(self.copies):
            moved = self.convert(batch)
        step.wait_stream(self.copies)
        for tensor in (moved.images, moved.labels):
            tensor.record_stream(step)  # else its memory could be reused before the step is done
        return moved

    def convert(self, batch: Batch) -> Batch:
        images, labels, indices = batch
        images = images.to(self.device, non_blocking=self.non_blocking)
        images = images.contiguous(memory_format=self.memory_format)
        if self.tail is not None and images.dtype == torch.uint8:
            images = self.tail(images)
        labels = labels.to(self.device, non_blocking=self.non_blocking)
        return Batch(images, labels, indices)


def choose_num_workers(dataset: ImageDataset, device: torch.device) -> int:
    """The loader processes of `data.num_workers=null`."""
    small = device.type == "cpu" and num_cores() <= 2
    # Two cores are busy computing: a process beside them only makes their threads wait.
    return 0 if dataset.in_memory or small else default_num_workers(device.type)


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
    key: str | None = None,
    ranks: Ranks | None = None,
) -> EpochLoader:
    """Loader of one split. The batches depend neither on `num_workers` nor on `cache`.

    Args:
        transform: PIL image (RGB) -> float32 tensor, shape (3, H, W).
        seed: of the order and of the augmentation.
        num_workers: processes; None = 0 for images in memory and when computing on one or two
            cores, else as `default_num_workers` says.
        pin_memory: None = where the device is a GPU.
        batch_transform: of whole batches, on the device.
        cache: "on", "off" or "auto": keep decoded images in files; auto = where they fit.
        cache_gb: what all such files may take, in GB (10^9 bytes).
        cache_px: side in pixels that larger images are reduced to before a random crop.
        key: dotted key of the transform, for messages; None = that of the split, by `shuffle`.
        ranks: of the processes that share each batch.

    Raises:
        ConfigError: cache="on" where there can be none.
    """
    key = key or f"transform.{'train' if shuffle else 'val'}"
    preparation = prepare(dataset, transform, CacheSettings(cache, cache_gb, cache_px), key)
    batches = EpochBatches(
        dataset.labels,
        batch_size,
        seed=seed,
        shuffle=shuffle,
        balanced=balanced_sampling,
        ranks=ranks,
    )
    if num_workers is None:
        num_workers = choose_num_workers(dataset, device)
    on_gpu = device.type == "cuda"
    images = TransformedImages(dataset, preparation, seed, key)
    loader: DataLoader[Any] = DataLoader(
        images,
        batch_sampler=batches,
        num_workers=num_workers,
        collate_fn=partial(collate, tail=images.tail),
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
        images.tail,
        preparation.note,
    )
