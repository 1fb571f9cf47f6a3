"""Small versions of many pictures for a page, within a budget of bytes."""

import base64
import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from PIL import Image, features

from pochitrain.data.dataset import ImageDataset, Subset
from pochitrain.data.decode import UnreadableImageError
from pochitrain.data.folder import ImageFolderDataset
from pochitrain.threads import num_cores

LARGE_PX, SMALL_PX = 96, 64
"""Longer side of those that matter most, and of the others."""
NUM_LARGE = 300
MAX_BYTES = 1_500_000
"""Of all data URLs of a page together."""
QUALITY = 65
"""Of WebP, 0 to 100."""
FEW, FEW_PX = 200, 128
"""So few pictures may be larger."""


def make_thumbnails(
    load: Callable[[int, int], Image.Image], wanted: Sequence[int], max_bytes: int = MAX_BYTES
) -> dict[int, str]:
    """Data URLs of pictures, as far as the budget goes; unreadable ones are left out.

    Args:
        load: (position, pixels that the shorter side needs) -> the picture in RGB; called from
            several threads. May raise UnreadableImageError or OSError.
        wanted: positions, the most important ones first.

    Returns:
        Position -> data URL.
    """

    def make(job: tuple[int, int]) -> str | None:
        position, side = job
        with suppress(UnreadableImageError, OSError):
            return shrink(load(position, side), side)
        return None

    jobs = [(position, side_of(rank, len(wanted))) for rank, position in enumerate(wanted)]
    found: dict[int, str] = {}
    used = 0
    with ThreadPoolExecutor(max_workers=min(4, num_cores())) as pool:
        for position, url in zip(wanted, pool.map(make, jobs), strict=True):
            if url is None:
                continue
            used += len(url)
            if used > max_bytes:
                pool.shutdown(wait=False, cancel_futures=True)
                break
            found[position] = url
    return found


def side_of(rank: int, num: int) -> int:
    """Pixels of the longer side of the picture that comes `rank`-th of `num`."""
    if num <= FEW:
        return FEW_PX
    return LARGE_PX if rank < NUM_LARGE else SMALL_PX


def shrink(image: Image.Image, side: int) -> str:
    """A small WebP (a JPEG where Pillow has no WebP) as a data URL."""
    small = image.copy()
    small.thumbnail((side, side))
    stream = io.BytesIO()
    kind = "webp" if features.check("webp") else "jpeg"
    small.save(stream, kind, quality=QUALITY)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def load_small(dataset: ImageDataset, index: int, side: int) -> Image.Image:
    """A picture of any data set; a JPEG file is decoded at an eighth, ... where that is enough."""
    while isinstance(dataset, Subset):
        index = dataset.position(index)
        dataset = dataset.base
    if isinstance(dataset, ImageFolderDataset):
        return dataset.load(index, least_px=side)
    return dataset.load(index)
