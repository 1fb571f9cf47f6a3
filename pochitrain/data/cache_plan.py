"""Whether decoded images are kept, and how much that takes."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pochitrain.data.cache import DecodeCache, find_cache, free_bytes, key_of, open_cache
from pochitrain.data.dataset import ImageDataset, Subset
from pochitrain.data.folder import ImageFolderDataset
from pochitrain.data.index import PathList, file_stamp
from pochitrain.error import ConfigError
from pochitrain.paths import cache_directory
from pochitrain.transform.prefix import (
    ShrinkTo,
    begins_with_random_crop,
    describe_steps,
    join_steps,
    lossless_px,
    split_pipeline,
)

SAMPLED = 16
"""Images whose size is looked at to estimate that of all."""


@dataclass(frozen=True)
class CacheSettings:
    """The cache part of group `data`."""

    mode: str = "off"
    """off, on, auto, or read: use what is there and keep nothing."""
    limit_gb: float = 8.0
    """Of all caches together."""
    px: int | None = None
    """Shorter side that images are reduced to before a random crop; None = left as they are."""


class ImageCache:
    """The cache of the images of one split, by their position in it."""

    def __init__(
        self, store: DecodeCache, paths: PathList, positions: NDArray[np.int64] | None
    ) -> None:
        """Use `store`, which has a slot for each of `paths`.

        Args:
            positions: of each image of the split in `paths`; None = all, in order.
        """
        self.store = store
        self.paths = paths
        self.positions = positions

    def slot(self, index: int) -> int:
        return index if self.positions is None else int(self.positions[index])

    def load(self, index: int, make: Callable[[], Image.Image]) -> Image.Image:
        """Image `index`, from the cache or as `make` gives it, which is then kept."""
        slot = self.slot(index)
        path = self.paths[slot]
        found = self.store.read(slot, path)
        if found is not None:
            return found
        stamp = file_stamp(path)  # from before it is read: a change meanwhile must be noticed
        image = make()
        self.store.write(slot, stamp, image)
        return image


@dataclass
class Preparation:
    """How a pipeline is divided."""

    prefix: Callable[[Image.Image], Image.Image] | None
    """The part whose result is kept; None = the pipeline is not divided."""
    rest: Callable[..., Any]
    cache: ImageCache | None = None
    reduced: Callable[[int], Image.Image] | None = None
    """How to read an image that is reduced afterwards; None = as usual."""
    note: str = ""
    """For the person: what is kept, or why nothing."""


def prepare(
    dataset: ImageDataset, transform: Callable[..., Any], settings: CacheSettings, key: str
) -> Preparation:
    """Divide `transform`, and open the cache of its deterministic beginning.

    Args:
        key: dotted key of the transform, for messages.

    Raises:
        ConfigError: if a cache is asked for (`data.cache=on`) and there can be none.
    """
    steps, rest, reduced = divide(dataset, transform, settings.px)
    base, positions = locate(dataset)
    notes = []
    unused = settings.px is not None and not begins_with_random_crop(rest)
    if unused and key == "transform.train":
        notes.append(
            "data.cache_px has no effect, because transform.train does not begin with "
            "RandomResizedCrop"
        )
    undivided = transform if not steps or settings.px is None else join_steps([*steps, rest])
    mode = {"True": "on", "False": "off"}.get(settings.mode, settings.mode)  # YAML's on and off
    if mode == "off" or base is None:
        if mode == "on":
            notes.append("nothing is kept: the pictures are no files")
        return Preparation(None, undivided, None, reduced, "; ".join(notes))
    planned = estimate_bytes(dataset, steps)
    parts = [base.paths.text, os.path.abspath(base.paths.prefix).encode("utf-8", "replace")]
    parts += [describe_steps(steps).encode(), repr(base.background).encode()]
    limit = int(settings.limit_gb * 1e9)
    if mode == "read":
        store = find_cache(key_of(parts), len(base))
    else:
        store = open_cache(key_of(parts), len(base), planned, limit)
    if store is None and mode == "read":
        notes.append("empty")
        return Preparation(None, undivided, None, reduced, "; ".join(notes))
    if store is None:
        reason = f"{format_gb(planned)} do not fit (data.cache_gb={settings.limit_gb:g}, free disk)"
        reason += suggest_px(dataset, steps, rest, settings.px, planned)
        if mode == "on":
            raise ConfigError(
                f"data.cache=on needs room for the decoded pictures: {reason}. Raise "
                "data.cache_gb, or use data.cache=auto."
            )
        notes.append(f"nothing is kept: {reason}")
        return Preparation(None, undivided, None, reduced, "; ".join(notes))
    there = f"{store.count(positions):,} of {len(dataset):,} pictures there"
    notes.append(f"{format_gb(planned)} ({there})")
    cache = ImageCache(store, base.paths, positions)
    return Preparation(join_steps(steps), rest, cache, reduced, "; ".join(notes))


def divide(
    dataset: ImageDataset, transform: Callable[..., Any], px: int | None
) -> tuple[list[Any], Callable[..., Any], Callable[[int], Image.Image] | None]:
    """The deterministic beginning of a pipeline, and the rest of it.

    Args:
        px: shorter side that larger images are reduced to before a random crop; None = as they are.

    Returns:
        Steps, the rest, and how to read an image that the steps reduce (None = as usual).
    """
    steps, rest = split_pipeline(transform)
    if px is None or not begins_with_random_crop(rest):
        return steps, rest, None
    base, positions = locate(dataset)
    reduced = None if base is None else partial(load_reduced, base, positions, px)
    return [*steps, ShrinkTo(px)], rest, reduced


def is_kept(dataset: ImageDataset, steps: Sequence[Any], settings: CacheSettings) -> bool:
    """Whether there is room for what `steps` make of the images, if nothing else is kept."""
    off = settings.mode in ("off", "False") or sys.platform == "win32"
    if off or locate(dataset)[0] is None:
        return False
    planned = estimate_bytes(dataset, steps)
    return planned <= settings.limit_gb * 1e9 and planned <= free_bytes(cache_directory())


def locate(
    dataset: ImageDataset,
) -> tuple[ImageFolderDataset | None, NDArray[np.int64] | None]:
    """The files that a split is made of, and the positions of its images among them."""
    if isinstance(dataset, ImageFolderDataset):
        return dataset, None
    if isinstance(dataset, Subset) and isinstance(dataset.base, ImageFolderDataset):
        return dataset.base, np.asarray(dataset.indices)
    return None, None


def load_reduced(
    base: ImageFolderDataset, positions: NDArray[np.int64] | None, px: int, index: int
) -> Image.Image:
    """Image `index` of a split, its shorter side at least `px` pixels where it has so many."""
    return base.load(index if positions is None else int(positions[index]), px)


def estimate_bytes(dataset: ImageDataset, steps: Sequence[Any]) -> int:
    """Bytes of all images after `steps`: from the sizes of some, spread over the set."""
    pipeline = join_steps(steps)
    chosen = np.linspace(0, len(dataset) - 1, min(SAMPLED, len(dataset))).astype(int)
    pixels = []
    for index in chosen.tolist():
        try:
            width, height = pipeline(Image.new("RGB", dataset.size(index))).size
        except Exception:  # unreadable, or too small for a crop: said where it is used
            continue
        pixels.append(width * height)
    return int(np.mean(pixels) * 3 * len(dataset)) if pixels else 0


def suggest_px(
    dataset: ImageDataset,
    steps: Sequence[Any],
    rest: Callable[..., Any],
    px: int | None,
    planned: int,
) -> str:
    """The setting that makes images smaller, where no crop would lose anything by it."""
    if px is not None or not begins_with_random_crop(rest):
        return ""
    lossless = lossless_px(rest)
    smaller = estimate_bytes(dataset, [*steps, ShrinkTo(lossless)])
    if smaller > 0.9 * planned:
        return ""
    return f"; data.cache_px={lossless} would take {format_gb(smaller)} and no crop be enlarged"


def format_gb(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 5e6 else f"{num_bytes / 1e6:.2f} MB"
