"""Computes the gradient of an optimizer step; the only place with a backward pass."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from pochitrain.data.dataset import weights_of
from pochitrain.data.loader import Batch, EpochLoader
from pochitrain.engine.batch_norm import shared_statistics
from pochitrain.engine.device import Precision
from pochitrain.engine.evaluate import loss_sums
from pochitrain.engine.fault import (
    FaultPolicy,
    FiniteLossCheck,
    is_out_of_memory,
    out_of_memory_message,
)
from pochitrain.engine.gradient_exchange import GradientExchange
from pochitrain.engine.process_group import ALONE, Peers, ProcessGroup
from pochitrain.engine.state import TrainState
from pochitrain.error import PochiError

log = logging.getLogger(__name__)


class GradientAccumulator:
    """Accumulates the gradient of an optimizer step, as if its batches were one large batch.

    A step takes `batches_per_step` batches (fewer at the end of an epoch), and each batch is
    computed in `state.num_microbatches` parts. Whatever the division, the gradient is that of total
    loss / total weight, so weights of classes and images and smaller batches are accounted for.

    Several processes each take their part of every batch; `exchange` adds up what they have.
    """

    def __init__(
        self,
        state: TrainState,
        loader: EpochLoader,
        criterion: nn.Module,
        precision: Precision,
        loss_check: FiniteLossCheck,
        faults: FaultPolicy,
        batches_per_step: int = 1,
        group: ProcessGroup = ALONE,
    ) -> None:
        """Accumulate into `.grad` of the parameters of `state.model`."""
        self.state = state
        self.criterion = criterion
        self.precision = precision
        self.loss_check = loss_check
        self.faults = faults
        self.batches_per_step = batches_per_step
        self.batch_size = loader.batches.batch_size
        self.num_batches = len(loader)
        self.samples_per_step = count_samples_per_step(loader, batches_per_step)
        weights = weights_of(loader.dataset)
        self.sample_weights = None if weights is None else torch.from_numpy(weights)
        """Of every training image, on the CPU, float32, shape (N,)."""
        self.total_weight: Tensor | float = 0.0
        """Weight of the losses in the step so far; used only where `is_added_up`."""
        self.is_last_part = False
        """Whether the step ends with this part of a batch."""
        self.sums_at_start = state.sums.values.clone()
        """The epoch's metrics as they were before the step."""
        self.skipped_at_start = state.num_skipped
        self.group = group
        self.peers = group if isinstance(group, Peers) else None
        self.exchanged = GradientExchange(state.model, group) if isinstance(group, Peers) else None
        bounds = [] if self.peers is None else loader.batches.bounds()
        self.plan = loader.batches
        self.batch_sizes = [stop - start for start, stop in bounds]
        """Of all processes together; empty for one process, which does not need them."""
        self.num_copies = 1
        """How many processes have the images of this batch."""

    def add(self, batch: Batch) -> bool:
        """Add the gradient of batch number `state.batch` of the epoch.

        Returns:
            Whether there was enough memory. If not, batches are computed in smaller parts from now
            on, and `state` is reset to the first batch of this step, which must be added again.

        Raises:
            PochiError: for a lack of memory, with `fault.out_of_memory=stop` or if parts cannot be
                smaller; for a non-finite loss, with `fault.nonfinite=stop`.
        """
        if self.state.batch % self.batches_per_step == 0:
            self.begin_step()
        try:
            if self.peers is None:
                for part in split_batch(batch, self.state.num_microbatches):
                    self.add_part(part, batch)
            else:
                self.add_share(batch, self.peers)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self.halve_microbatches(error, batch)
            return False
        return True

    def begin_step(self) -> None:
        """Store the state of the metrics, in case the step must be repeated."""
        self.total_weight = 0.0
        self.sums_at_start = self.state.sums.values.clone()
        self.skipped_at_start = self.state.num_skipped

    def add_share(self, batch: Batch, peers: Peers) -> None:
        """Add the gradient of the share of a batch that this process has."""
        num, last = self.batch_sizes[self.state.batch], self.state.batch + 1
        self.num_copies = copies = self.plan.num_copies(num)
        smallest = num if copies > 1 else num // peers.size
        num_parts = max(1, min(self.state.num_microbatches, smallest // 2))  # the same everywhere
        ends_step = last % self.batches_per_step == 0 or last == self.num_batches
        for number, part in enumerate(split_batch(batch, num_parts), 1):
            self.is_last_part = ends_step and number == num_parts
            with shared_statistics(peers) if copies == 1 else nullcontext():
                self.add_part(part, batch)

    def add_part(self, part: Batch, batch: Batch) -> None:
        """Add the gradient of `part` of `batch`, or of the whole batch."""
        images, labels, _ = part
        with self.precision.autocast():
            logits = self.state.model(images)
            loss, weight = loss_sums(self.criterion, logits, labels, self.weights_in(part))
        if not self.loss_check.accept(loss, batch, self.state):
            return
        if self.is_added_up:  # the total weight is not known yet: see average()
            divisor: Tensor | int = self.samples_of_step(self.state.batch) * self.num_copies
            self.total_weight = self.total_weight + weight.detach() / self.num_copies
        else:
            divisor = weight if part is batch else self.weight_of(batch, logits.shape[1])
        scaled: Tensor = self.state.scaler.scale(loss / divisor)
        if self.exchanged is not None and self.is_last_part:
            self.exchanged.arm(self.total_weight)
        torch.autograd.backward(scaled)
        hard = labels if labels.ndim == 1 else labels.argmax(dim=1)
        correct = (logits.detach().argmax(dim=1) == hard).sum()
        if self.num_copies == 1 or self.group.is_first:
            self.state.sums.add(loss, weight, correct, len(images))

    def exchange(self) -> None:
        """Give every process the sum of the gradients; nothing with one process."""
        if self.exchanged is not None:
            self.total_weight = self.exchanged.finish(self.total_weight)

    def num_without(self) -> int:
        """Number of parameters without a gradient in the latest step; 0 with one process."""
        return 0 if self.exchanged is None else self.exchanged.num_without

    @property
    def is_added_up(self) -> bool:
        """Whether the weight of a step is a sum over several batches, or processes."""
        return self.batches_per_step > 1 or self.exchanged is not None

    def clear(self) -> None:
        """Forget the gradients, after a step."""
        self.state.optimizer.zero_grad(set_to_none=True)

    def weight_of(self, batch: Batch, num_classes: int) -> Tensor:
        """Total weight of the loss of a whole batch. It depends only on labels and weights."""
        blank = torch.zeros(len(batch.labels), num_classes, device=batch.labels.device)
        return loss_sums(self.criterion, blank, batch.labels, self.weights_in(batch))[1]

    def weights_in(self, batch: Batch) -> Tensor | None:
        """Weight of each image of a batch, on its device; None = all the same."""
        if self.sample_weights is None:
            return None
        chosen = self.sample_weights[batch.indices.cpu()]
        return chosen.to(batch.labels.device, non_blocking=True)

    def samples_of_step(self, batch: int) -> int:
        """Number of samples in the optimizer step of batch number `batch` (0-based) of an epoch."""
        return self.samples_per_step[batch // self.batches_per_step]

    def halve_microbatches(self, error: BaseException, batch: Batch) -> None:
        """Discard the step so far, and compute batches in parts of half the size from now on.

        Raises:
            PochiError: with `fault.out_of_memory=stop`, or if the parts cannot be smaller.
        """
        state = self.state
        if self.faults.out_of_memory == "stop" or len(batch.images) < 4 * state.num_microbatches:
            num, group = self.batches_per_step, self.group
            raise PochiError(out_of_memory_message(error, batch, num, group.size)) from error
        state.num_microbatches *= 2
        state.batch -= state.batch % self.batches_per_step
        state.sums.values.copy_(self.sums_at_start)
        state.num_skipped = self.skipped_at_start
        state.optimizer.zero_grad(set_to_none=True)
        log.warning(
            "%s",
            f"Out of memory: batches are computed in {state.num_microbatches} parts from now on, "
            f"as batch_size={self.batch_size // state.num_microbatches} "
            f"gradient_accumulation={self.batches_per_step * state.num_microbatches} would.",
        )

    def is_between_steps(self) -> bool:
        """Whether no gradient is pending, which a checkpoint would lose."""
        batch = self.state.batch
        return batch % self.batches_per_step == 0 or batch == self.num_batches

    def is_empty(self) -> bool:
        """Whether every batch of the step was skipped, so that there is nothing to apply."""
        skipped = self.state.num_skipped > self.skipped_at_start
        return skipped and all(p.grad is None for p in self.state.model.parameters())

    def average(self) -> None:
        """Divide unscaled gradients of several batches by their total weight."""
        if not self.is_added_up:
            return
        factor = self.samples_of_step(self.state.batch - 1) / self.total_weight
        parameters = self.state.model.parameters()
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        torch._foreach_mul_(gradients, factor)  # one kernel launch for all tensors


def bare_step(state: TrainState, criterion: nn.Module, precision: Precision, batch: Batch) -> None:
    """The computation of a training step and nothing else: what a whole step is measured against.

    Without accumulation, clipping, checks, metrics and callbacks.
    """
    with precision.autocast():
        loss = criterion(state.model(batch.images), batch.labels)
    torch.autograd.backward(state.scaler.scale(loss))
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)


def split_batch(batch: Batch, num_microbatches: int) -> Iterator[Batch]:
    """Split a batch into parts of nearly equal size; one part is the batch itself.

    A part has at least two samples, which batch norm needs, so there may be fewer parts.
    """
    if num_microbatches == 1:
        yield batch
        return
    num_microbatches = max(1, min(num_microbatches, len(batch.images) // 2))
    columns: Sequence[Sequence[Tensor]] = [
        column.tensor_split(num_microbatches) for column in batch
    ]
    for images, labels, indices in zip(*columns, strict=True):
        yield Batch(images, labels, indices)


def count_samples_per_step(loader: EpochLoader, batches_per_step: int) -> list[int]:
    """Number of samples in each optimizer step of an epoch."""
    bounds = loader.batches.bounds()
    steps = [bounds[i : i + batches_per_step] for i in range(0, len(bounds), batches_per_step)]
    return [step[-1][1] - step[0][0] for step in steps]
