"""Batches that cannot be used: a loss that is no number, and memory that is too small."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pochitrain.data.dataset import ImageDataset
from pochitrain.data.loader import Batch
from pochitrain.engine.state import TrainState
from pochitrain.error import PochiError
from pochitrain.text import first_line, shorten_list

MAX_NAMES = 8
"""Images named in a message; more are counted."""

log = logging.getLogger(__name__)


@dataclass
class FaultPolicy:
    nonfinite: Literal["stop", "skip"] = "stop"
    out_of_memory: Literal["stop", "halve"] = "stop"


class FiniteLoss:
    """Refuses or skips batches whose loss is NaN or infinite.

    To skip a batch the loss must be read before it is used. To stop, it is enough to read it one
    batch later, when a GPU has it ready anyway; `settle` reads what is still open, before anything
    is saved.
    """

    def __init__(self, policy: Literal["stop", "skip"], dataset: ImageDataset) -> None:
        self.policy = policy
        self.dataset = dataset
        self.unread: tuple[Tensor, Tensor, str] | None = None

    def accept(self, loss: Tensor, batch: Batch, state: TrainState) -> bool:
        """Whether to use this batch.

        Args:
            loss: of the batch, shape ().

        Raises:
            PochiError: under the policy stop, for this batch or the one before it.
        """
        self.settle()
        where = f"epoch {state.epoch + 1}, batch {state.batch + 1}"
        if self.policy == "stop":
            self.unread = (loss.detach(), batch.indices, where)
            if loss.device.type == "cpu":
                self.settle()
            return True
        value = loss.item()
        if value - value == 0:  # false for NaN and for both infinities
            return True
        state.num_skipped += 1
        log.warning("%s", f"Left out {where}: its loss is {value}. {self.names(batch.indices)}")
        return False

    def settle(self) -> None:
        """Read the loss that is still open.

        Raises:
            PochiError: if it is not finite.
        """
        if self.unread is None:
            return
        (loss, indices, where), self.unread = self.unread, None
        value = loss.item()
        if value - value != 0:
            raise PochiError(
                f"The loss became {value} in {where}. {self.names(indices)} Lower learning_rate, "
                "set gradient_clip_norm, or leave such batches out with fault.nonfinite=skip."
            )

    def names(self, indices: Tensor) -> str:
        listed = [self.dataset.name(int(i)) for i in indices]
        return f"Pictures of the batch: {shorten_list(listed, MAX_NAMES)}."


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the host while computing, had too little memory."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in text or "out of memory" in text
    )


def out_of_memory_message(error: BaseException, batch: Batch, accumulation: int) -> str:
    """What did not fit, and what would."""
    size, side = len(batch.images), batch.images.shape[-1]
    half = max(1, size // 2)
    return (
        f"batch_size must be small enough for the memory of {batch.images.device}, got {size} "
        f"pictures of {side} px ({first_line(error)}). Use batch_size={half} "
        f"gradient_accumulation={2 * accumulation} (as many pictures per optimizer step), "
        "fault.out_of_memory=halve (does so by itself), or precision=bf16."
    )


def split_batch(batch: Batch, num_microbatches: int) -> Iterator[Batch]:
    """The batch in parts of nearly equal size.

    None of them is a single sample, which batch norm cannot work on, unless the batch is one."""
    num_microbatches = max(1, min(num_microbatches, len(batch.images) // 2))
    columns: Sequence[Sequence[Tensor]] = [
        column.tensor_split(num_microbatches) for column in batch
    ]
    for images, labels, indices in zip(*columns, strict=True):
        yield Batch(images, labels, indices)
