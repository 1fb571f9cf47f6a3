"""The first seconds of the feature pass of a plan: is it as fast as the measurements say?"""

import copy
import io
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from omegaconf import DictConfig

from pochitrain.console import PrintableConsole
from pochitrain.data.dataset import DataSplits
from pochitrain.engine.device import Precision
from pochitrain.engine.interrupt import StopRequest, stop_on_signal
from pochitrain.run.build import build_parts
from pochitrain.run.strategy import Preparation

REHEARSED_S = 2.5


class RehearsedError(Exception):
    """Ends the pass: its speed is known."""


class Stopwatch(StopRequest):
    """Measures a pass, and ends it after REHEARSED_S."""

    def __init__(self) -> None:
        super().__init__()
        self.start_s: float | None = None
        """When the first batch was there, of `time.perf_counter`."""
        self.num_images = 0
        """Those of all batches but the latest."""
        self.image_s: float | None = None
        """Seconds per image so far; None before the second batch."""

    def watch(self, items: Iterable[Any], where: str) -> Iterator[Any]:
        """Yield batches until the time is over.

        Raises:
            RehearsedError: after REHEARSED_S.
            Interrupted: after a signal.
        """
        for batch in super().watch(items, where):
            now = time.perf_counter()
            if self.start_s is None:
                self.start_s = now
            else:
                self.image_s = (now - self.start_s) / self.num_images
                if now - self.start_s >= REHEARSED_S:
                    raise RehearsedError
            self.num_images += len(batch.images)
            yield batch


def rehearse(cfg: DictConfig, data: DataSplits, precision: Precision) -> float | None:
    """Seconds per image of the pass of `cfg`; None where there is next to nothing to compute.

    Features that were computed are kept, where the run will keep them.

    Raises:
        Interrupted: after a signal.
    """
    watch, cfg = Stopwatch(), copy.deepcopy(cfg)
    parts = build_parts(cfg, precision, data)
    assert parts.backbone is not None
    quiet = PrintableConsole(file=io.StringIO())
    try:
        with stop_on_signal(watch), suppress(RehearsedError):
            Preparation(cfg, parts, parts.backbone, quiet, watch).training_views()
    finally:
        parts.close_loaders()
    return watch.image_s
