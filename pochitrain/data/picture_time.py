"""When images were taken, from their EXIF data, or changed, from the file system."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags

from pochitrain.data.decode import UnreadableImageError, open_image, reasons, without_warnings
from pochitrain.data.progress import WaitDisplay
from pochitrain.error import ConfigError

SHOWN = 3
"""Files without a time that a message names."""

EXIF_TAGS = (
    ExifTags.Base.DateTimeOriginal,
    ExifTags.Base.DateTimeDigitized,
    ExifTags.Base.DateTime,
)
"""When it was exposed, digitized, or last changed: the first that a file has."""


def times_of_paths(paths: Sequence[str], source: str) -> NDArray[np.float64]:
    """The time of each image file, in seconds since 1970.

    Args:
        source: "exif": the clock of the camera, taken as UTC, since few cameras say their zone;
            "file": when the file was last changed, which copying may set to the time of copying.

    Raises:
        ConfigError: naming images without an EXIF time.
    """
    times = np.full(len(paths), np.nan)
    with WaitDisplay("Reading times of pictures", len(paths)) as display:
        for i in range(len(paths)):
            times[i] = read_exif_time(paths[i]) if source == "exif" else os.stat(paths[i]).st_mtime
            display.advance()
    without = np.flatnonzero(np.isnan(times))
    if len(without):
        named = ", ".join(paths[i] for i in without[:SHOWN].tolist())
        more = f" and {len(without) - SHOWN:,} more" if len(without) > SHOWN else ""
        raise ConfigError(
            f"data.split_by_time=exif must find a time in every picture, got none in "
            f"{len(without):,} of {len(paths):,}: {named}{more}. "
            "data.split_by_time=file takes the time at which a file was last changed."
        )
    return times


def read_exif_time(path: str) -> float:
    """The EXIF time in seconds since 1970, as if in UTC; NaN without a valid one."""
    try:
        with reasons(), without_warnings(), open_image(path) as image:
            exif = image.getexif()
            values = {**exif, **exif.get_ifd(ExifTags.IFD.Exif)}
    except UnreadableImageError:
        return float("nan")
    for tag in EXIF_TAGS:
        text = str(values.get(tag, "")).strip("\0 ")
        try:
            return datetime.strptime(text, "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
        except ValueError:  # absent, blank, or 0000:00:00 of a camera whose clock is not set
            continue
    return float("nan")
