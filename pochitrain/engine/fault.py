"""Handling of batches that cannot be used: non-finite losses, and a lack of memory."""

import logging
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pochitrain.data.dataset import ImageDataset
from pochitrain.data.loader import Batch
from pochitrain.engine.process_group import ALONE, ProcessGroup
from pochitrain.engine.state import TrainState
from pochitrain.error import PochiError
from pochitrain.text import first_line, shorten_list

MAX_NAMES = 8
"""Largest number of images named in a message; the rest is counted."""

log = logging.getLogger(__name__)


@dataclass
class FaultPolicy:
    """What a run does about a batch that cannot be used: the group `fault` of the config."""

    nonfinite: Literal["stop", "skip"] = "stop"
    """For a non-finite loss (NaN or infinity): end the run, or leave the batch out."""
    out_of_memory: Literal["stop", "halve"] = "stop"
    """For a lack of memory: end the run, or compute each batch in smaller parts."""


class HostCopy:
    """A number on its way from a GPU to the host."""

    def __init__(self, value: Tensor) -> None:
        """Start to copy `value`, shape ()."""
        on_gpu = value.device.type == "cuda"
        self.value = value.to("cpu", non_blocking=True) if on_gpu else value
        self.arrived = torch.cuda.Event() if on_gpu else None  # type: ignore[no-untyped-call]
        if self.arrived is not None:
            self.arrived.record()

    def read(self) -> float:
        """The number. Waits until it was computed, not for what the GPU has to do after it."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return float(self.value.item())


class FiniteLossCheck:
    """Stops the run at a non-finite loss, or skips the batch.

    Reading a loss makes the CPU wait for the GPU. To skip a batch, its loss must be read before it
    is used. To stop, it is enough to read it one batch later, when the GPU has computed it anyway
    and is busy with the rest of that step and the next forward pass; `check_pending` reads the
    latest one before a checkpoint is saved.
    """

    def __init__(
        self,
        policy: Literal["stop", "skip"],
        dataset: ImageDataset,
        group: ProcessGroup = ALONE,
    ) -> None:
        """Check the losses of `dataset`.

        Args:
            group: the processes that share a batch; to skip, all of them leave it out.
        """
        self.policy = policy
        self.dataset = dataset
        self.group = group
        self.pending: tuple[HostCopy, Tensor, str] | None = None

    def accept(self, loss: Tensor, batch: Batch, state: TrainState) -> bool:
        """Whether to use a batch, given its loss.

        Args:
            loss: total or mean over the batch or a part of it, shape ().

        Raises:
            PochiError: under the policy `stop`, if this loss or the one before it is not finite.
        """
        self.check_pending()
        where = f"epoch {state.epoch + 1}, batch {state.batch + 1}"
        if self.policy == "stop":
            self.pending = (HostCopy(loss.detach()), batch.indices, where)
            if loss.device.type == "cpu":
                self.check_pending()
            return True
        value = loss.item()
        if self.group.largest(int(not math.isfinite(value))) == [0]:
            return True
        state.num_skipped += 1
        found = self.group.gather((value, batch.indices.cpu()))  # one process tells it for all
        if found:
            bad = next(value for value, _ in found if not math.isfinite(value))
            indices = torch.cat([indices for _, indices in found])
            log.warning("%s", f"Left out {where}: its loss is {bad}. {self.names(indices)}")
        return False

    def check_pending(self) -> None:
        """Read the latest loss, if it has not been read yet.

        Raises:
            PochiError: if it is not finite.
        """
        if self.pending is None:
            return
        (loss, indices, where), self.pending = self.pending, None
        value = loss.read()
        if not math.isfinite(value):
            raise PochiError(
                f"The loss became {value} in {where}. {self.names(indices)} Lower learning_rate, "
                "set gradient_clip_norm, or leave such batches out with fault.nonfinite=skip."
            )

    def names(self, indices: Tensor) -> str:
        """A sentence that names the images at `indices` (positions in the dataset)."""
        listed = [self.dataset.name(int(i)) for i in indices]
        return f"Pictures of the batch: {shorten_list(listed, MAX_NAMES)}."


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` is a lack of memory, on a device or on the host."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in text or "out of memory" in text
    )


def out_of_memory_message(
    error: BaseException, batch: Batch, accumulation: int, num_processes: int = 1
) -> str:
    """The message for a batch that does not fit into memory, with settings that would.

    Args:
        batch: of one process.
        num_processes: that share a batch; several cannot halve it in the middle of a run.
    """
    size, side = len(batch.images) * num_processes, batch.images.shape[-1]
    half = max(1, size // 2)
    is_alone = num_processes == 1
    shared = "" if is_alone else f" in {num_processes} processes"
    halve = ", fault.out_of_memory=halve (does so by itself)," if is_alone else ""
    return (
        f"batch_size must be small enough for the memory of {batch.images.device}, got {size} "
        f"pictures of {side} px{shared} ({first_line(error)}). Use batch_size={half} "
        f"gradient_accumulation={2 * accumulation} (as many pictures per optimizer step){halve} "
        "or precision=bf16."
    )
