"""The part of group `data` that says how images are loaded, whatever they come from."""

import os
from dataclasses import dataclass
from typing import Annotated

from pochitrain.config.validators import Numbers, Range, Rule

MAX_NUM_WORKERS = max(64, 4 * (os.cpu_count() or 1))
"""More processes would only compete for the cores; thousands can bring a machine down."""
Color = Numbers("3 integers from 0 to 255 (red, green, blue)", Range(ge=0, le=255), count=3)

OnOffAuto = Rule(
    "one of auto, on, off", lambda value: value in ("auto", "on", "off", "True", "False")
)
"""True and False are what YAML makes of `on` and `off` without quotes."""


@dataclass
class LoaderConfig:
    """How batches are made. Only batch_size, cache_px and balanced_sampling affect the results."""

    batch_size: Annotated[int, Range(ge=1)] = "${batch_size}"  # type: ignore[assignment]  # interpolation
    """Images per batch; follows the key of the root."""
    num_workers: Annotated[
        int | None,
        Range(ge=0, remedy="0 loads in the main process."),
        Range(le=MAX_NUM_WORKERS, remedy="Leave it null to choose by the cores of this machine."),
    ] = None
    """Loader processes; null = automatic: half the cores, for a GPU all but one, 0 where that would
    not be faster."""
    pin_memory: bool | None = None
    """Page-locked host memory; null = on where a GPU is used."""
    infer_pin_memory: bool | None = None
    """The same for validation and inference; null = as pin_memory."""
    non_blocking: bool = True
    """Copy to the GPU without waiting."""
    cache: Annotated[str, OnOffAuto] = "auto"
    """Keep decoded images in files, for later epochs and runs. auto: where they fit; on: or it is
    an error; off. The result is the same."""
    cache_gb: Annotated[float, Range(ge=0)] = 8.0
    """GB (10^9 bytes) that all such files together may take in the user's cache directory."""
    cache_px: Annotated[int | None, Range(ge=8)] = None
    """Shorter side in pixels that larger images are reduced to before a RandomResizedCrop, so that
    they take less room; null = they keep their size."""
    balanced_sampling: bool = False
    """Draw every class equally often (with replacement) instead of each image once."""


LOADER_FIELDS = tuple(LoaderConfig.__dataclass_fields__)
