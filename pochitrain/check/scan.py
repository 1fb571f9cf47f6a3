"""Looks at every picture once, in worker processes: what it is like, and its fingerprints."""

import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pochitrain.check.pictures import Pictures, digest
from pochitrain.check.quality import Quality, measure_quality
from pochitrain.data.decode import UnreadableImageError, open_image, reasons, without_warnings
from pochitrain.data.progress import WaitDisplay
from pochitrain.error import DataError
from pochitrain.threads import num_cores

THUMBNAIL_PX = 32
"""Side of the small square version that near duplicates are compared by."""
LARGE_PIXELS = 1_000_000
CHUNK = 32
"""Pictures that a process is given at once."""
ALONE = 256
"""So few pictures are looked at in this process: others would take longer to start."""

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Look:
    """What is known of one picture that can be read."""

    size: tuple[int, int]
    """Width and height in pixels, upright."""
    mode: str
    """How the file stores a pixel: RGB, L, P, CMYK, ...; empty for a picture that is no file."""
    pixels: bytes
    """Digest of the decoded pixels."""
    quality: Quality
    thumbnail: Bytes
    """The whole picture squeezed into a square: RGB, shape (THUMBNAIL_PX, THUMBNAIL_PX, 3)."""


Found = Look | str
"""A look, or why the picture cannot be read."""


def look_at(pictures: Pictures, number: int) -> Found:
    """Decode a picture and measure it."""
    path = pictures.path(number)
    mode = ""
    try:
        image = pictures.load(number)
        if path is not None:
            with reasons(), without_warnings(), open_image(path) as header:
                mode = header.mode
    except UnreadableImageError as error:
        return str(error)
    # Exact for all but large pictures: a shortcut on the way would not treat both borders alike.
    gap = 4.0 if image.width * image.height > LARGE_PIXELS else None
    side = (THUMBNAIL_PX, THUMBNAIL_PX)
    square = image.resize(side, Image.Resampling.BILINEAR, reducing_gap=gap)
    content = b"%d %d " % image.size + image.tobytes()
    return Look(image.size, mode, digest(content), measure_quality(image), np.asarray(square))


_pictures: list[Pictures] = []
"""In a worker process: the pictures that it looks at."""


def begin_work(pictures: Pictures) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process decides when to stop
    _pictures[:] = [pictures]


def look_at_some(numbers: range) -> list[Found]:
    return [look_at(_pictures[0], number) for number in numbers]


def scan(pictures: Pictures) -> list[Found]:
    """What was found about each picture, in order.

    Raises:
        DataError: if a process ended while it decoded a picture.
    """
    total = len(pictures)
    chunks = [range(start, min(start + CHUNK, total)) for start in range(0, total, CHUNK)]
    found: list[Found] = []
    with WaitDisplay("Looking at pictures", total) as display:
        for part in run_chunks(pictures, chunks):
            found += part
            display.advance(len(part))
    return found


def run_chunks(pictures: Pictures, chunks: list[range]) -> Iterator[list[Found]]:
    if len(pictures) <= ALONE or num_cores() == 1:
        with without_warnings():
            for chunk in chunks:
                yield [look_at(pictures, number) for number in chunk]
        return
    context: Any = get_context("fork" if has_fork() else "spawn")
    pool = ProcessPoolExecutor(num_cores(), context, begin_work, (pictures,))
    try:
        yield from pool.map(look_at_some, chunks)
    except BrokenProcessPool:
        raise DataError(
            "A process that looked at pictures ended. If the machine was short of memory, run the "
            "check where there is more; else a picture makes the decoder crash."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def has_fork() -> bool:
    """As for the processes that load pictures in training: nothing is pickled where not needed."""
    from pochitrain.data.worker import start_method

    return start_method(1) == "fork"
