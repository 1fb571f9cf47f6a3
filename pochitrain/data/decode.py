"""Any image file to 8-bit RGB, the way a person sees it."""

import io
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from pochitrain.data.member import find_member, read_member

MAX_PIXELS = 178_956_970
"""Larger images are refused as decompression bombs (Pillow's limit, 13,400 x 13,400)."""

Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2

BAND_PX = 512
"""Rows of an image that are composited at once."""

FORMATS = ("JPEG", "MPO", "PNG", "BMP", "DIB", "WEBP", "TIFF", "GIF", "AVIF", "JPEG2000", "PPM")
"""What a file may hold, whatever its name says. Not all that Pillow knows: it hands EPS to
Ghostscript, which runs what is in the file."""

Image.init()  # registers the formats
OPENED = tuple(name for name in FORMATS if name in Image.OPEN)


class UnreadableImageError(Exception):
    """A file that cannot be decoded; the text says why."""


@contextmanager
def without_warnings() -> Iterator[None]:
    """Inside, odd metadata is not reported: it is not our business.

    All threads share one list of filters, so only the main thread may change it for a while.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def decode_rgb(
    source: str | Path | IO[bytes],
    background: tuple[int, int, int] = (255, 255, 255),
    least_px: int | None = None,
) -> Image.Image:
    """Read an image file.

    Args:
        source: path of the file, or the open file.
        background: RGB, 0-255, behind transparent pixels.
        least_px: shorter side that is enough, in pixels: a JPEG file may come out at 1/2, 1/4 or
            1/8 of its size, as long as the shorter side is not below. That is several times faster.

    Raises:
        UnreadableImageError: whatever is wrong with the file.
    """
    with reasons(), without_warnings(), open_image(source) as image:
        if least_px is not None and image.format in ("JPEG", "MPO"):
            shorter = min(image.size)
            width, height = (-(-side * least_px // shorter) for side in image.size)
            image.draft(None, (width, height))  # None: in its own mode
        return to_rgb(image, background)


class TooManyPixelsError(UnreadableImageError):
    """A file whose header announces more pixels than MAX_PIXELS."""


@contextmanager
def reasons() -> Iterator[None]:
    """Inside, whatever a decoder raises becomes an UnreadableImageError that says why."""
    try:
        yield
    except UnreadableImageError:
        raise
    except UnidentifiedImageError:
        raise UnreadableImageError("not a picture") from None
    except Image.DecompressionBombError:
        raise TooManyPixelsError(f"more than {MAX_PIXELS:,} pixels") from None
    except FileNotFoundError:
        raise UnreadableImageError("the file is gone") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, zlib.error, ...
        raise UnreadableImageError(str(error) or type(error).__name__) from None


def open_image(source: str | Path | IO[bytes]) -> Image.Image:
    """The image with its header read and its pixels not yet.

    Raises:
        UnreadableImageError: for a pipe or a device, which could be waited for or read for ever.
        Exception: whatever Pillow raises.
    """
    if isinstance(source, str) and (member := find_member(source)) is not None:
        return Image.open(io.BytesIO(read_member(member)), formats=OPENED)
    if isinstance(source, (str, Path)) and not stat.S_ISREG(os.stat(source).st_mode):
        raise UnreadableImageError("not a file")
    return Image.open(source, formats=OPENED)


def upright_size(source: str | Path) -> tuple[int, int]:
    """Width and height in pixels that `decode_rgb` will give, read from the header.

    Raises:
        UnreadableImageError: whatever is wrong with the header.
    """
    with reasons(), without_warnings(), open_image(source) as image:
        width, height = image.size
        rotated = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    return (height, width) if rotated else (width, height)


def to_rgb(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """First frame, upright (EXIF), 8-bit RGB, transparency composited on `background`."""
    image.load()
    ImageOps.exif_transpose(image, in_place=True)  # without it, a copy of every image
    if image.mode.startswith(("I", "F")):
        image = to_8_bit(image)
    if image.has_transparency_data:
        return composite(image, background)
    return image.convert("RGB")


def composite(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """RGB of an image with transparency, in bands: it takes several copies on the way."""
    flat = Image.new("RGB", image.size)
    for top in range(0, image.height, BAND_PX):
        box = (0, top, image.width, min(top + BAND_PX, image.height))
        rgba = image.crop(box).convert("RGBA")
        backdrop = Image.new("RGBA", rgba.size, (*background, 255))
        flat.paste(Image.alpha_composite(backdrop, rgba).convert("RGB"), box)
    return flat


def to_8_bit(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits, scaled to 0-255 (Pillow's own conversion clips).

    16-bit integers are divided by 257; wider integers that need it by their own maximum; floats in
    0-1 are multiplied by 255, in 0-255 taken as they are and others scaled like integers. What is
    no finite number becomes 0.
    """
    values = np.asarray(image)
    if image.mode == "F":
        values = np.nan_to_num(values, posinf=0, neginf=0)
    peak = float(values.max(initial=0.0))
    if image.mode == "F" and peak <= 1.0:
        scale = 255.0
    elif image.mode == "F" and peak <= 255:
        scale = 1.0
    elif peak <= 65535:
        scale = 255 / 65535
    else:
        scale = 255 / peak
    grey = np.empty(values.shape, np.uint8)
    for row, out in zip(values, grey, strict=True):  # a float64 copy of it all would be gigabytes
        out[:] = np.clip(np.round(row.astype(np.float64) * scale), 0, 255)
    return Image.fromarray(grey)
