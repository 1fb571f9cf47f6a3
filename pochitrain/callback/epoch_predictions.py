"""What the model of each epoch says about the validation images; val_predictions.csv of the best.

The classes of all epochs tell how much the best one owes to luck (`run/selection.py`).
"""

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pochitrain.atomic import write_text
from pochitrain.data.dataset import ImageDataset
from pochitrain.engine.callback import Callback
from pochitrain.engine.state import TrainState
from pochitrain.text import format_csv

COLUMNS = (
    "image_path",
    "true",
    "true_class",
    "predicted",
    "predicted_class",
    "correct",
    "confidence",
)
MAX_BYTES = 64 * 2**20
"""Of all epochs together, before compression; beyond it only the best epoch is kept."""


@dataclass
class BestPredictions:
    """Of the best epoch so far."""

    epoch: int
    predicted: Tensor
    """Class of each image, in the smallest integer type, shape (N,)."""
    confidence: Tensor
    """Its probability, float32, shape (N,)."""


class EpochPredictions(Callback):
    """Keeps the predicted classes of every epoch, and writes those of the best one at the end.

    An epoch is kept as its difference (exclusive or) to the one before, compressed: from epoch to
    epoch few images change.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        class_names: Sequence[str],
        path: Path | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        """Watch the validation of `dataset`.

        Args:
            path: of the table of the best epoch; None = it is not written.
            max_bytes: what the classes of all epochs may take before compression.
        """
        self.dataset = dataset
        self.class_names = list(class_names)
        self.path = path
        self.max_bytes = max_bytes
        self.dtype = smallest_type(len(self.class_names))
        self.epochs: list[bytes] | None = []
        """Of each finished epoch; None where they are too many, or an early one is unknown."""
        self.latest = np.zeros(len(dataset), self.dtype)
        self.best: BestPredictions | None = None

    def on_epoch_end(self, state: TrainState) -> None:
        if state.predicted is None or state.confidence is None:
            return
        predicted_N = state.predicted.numpy().astype(self.dtype)
        if state.is_best:
            chosen = torch.from_numpy(predicted_N)
            self.best = BestPredictions(state.epoch, chosen, state.confidence)
        if self.epochs is None:
            return
        is_gap = len(self.epochs) != state.epoch - 1  # a run of an earlier version goes on
        if is_gap or state.epoch * predicted_N.nbytes > self.max_bytes:
            self.epochs = None
            return
        self.epochs.append(zlib.compress((predicted_N ^ self.latest).tobytes(), level=1))
        self.latest = predicted_N

    def on_fit_end(self, state: TrainState) -> None:
        best = self.best
        if self.path is None or best is None or state.best is None:
            return
        if best.epoch == state.best.epoch:  # else it is older than this record of it
            write_text(self.path, format_csv(COLUMNS, self.rows(best)))

    def rows(self, best: BestPredictions) -> Iterator[list[object]]:
        """The rows of val_predictions.csv."""
        names, labels = self.class_names, np.asarray(self.dataset.labels)
        answers = zip(best.predicted.tolist(), best.confidence.tolist(), strict=True)
        for index, (predicted, confidence) in enumerate(answers):
            true = int(labels[index])
            shown = f"{confidence:.6f}" if math.isfinite(confidence) else None
            classes = [true, names[true], predicted, names[predicted]]
            yield [self.dataset.name(index), *classes, true == predicted, shown]

    def table(self) -> NDArray[np.integer[Any]] | None:
        """Predicted class by epoch and image, shape (E, N); None if not all epochs are known."""
        if not self.epochs:
            return None
        return decode(self.epochs, self.dtype)

    def state_dict(self) -> dict[str, Any]:
        return {
            "epochs": None if self.epochs is None else list(self.epochs),
            "best": None if self.best is None else dict(vars(self.best)),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.epochs = saved["epochs"]
        self.best = None if saved["best"] is None else BestPredictions(**saved["best"])
        if self.epochs:
            self.latest = decode(self.epochs, self.dtype)[-1]


def smallest_type(num_classes: int) -> np.dtype[Any]:
    """The smallest type for a class index; torch has no unsigned ones but the smallest."""
    types = (np.uint8, np.int16, np.int32)
    fits = (np.dtype(kind) for kind in types if num_classes - 1 <= np.iinfo(kind).max)
    return next(fits)


def decode(epochs: Sequence[bytes], dtype: np.dtype[Any]) -> NDArray[np.integer[Any]]:
    """The classes (E, N) that were kept as differences."""
    changes = np.stack([np.frombuffer(zlib.decompress(epoch), dtype) for epoch in epochs])
    found: NDArray[np.integer[Any]] = np.bitwise_xor.accumulate(changes, axis=0)
    return found
