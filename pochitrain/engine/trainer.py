"""The training loop, and the only backward pass."""

import logging
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from pochitrain.data.loader import Batch, EpochLoader
from pochitrain.data.worker import dead_worker
from pochitrain.engine.callback import Callback
from pochitrain.engine.checkpoint import CheckpointWriter
from pochitrain.engine.device import Precision
from pochitrain.engine.evaluate import Evaluation, evaluate, loss_sums
from pochitrain.engine.fault import (
    FaultPolicy,
    FiniteLoss,
    is_out_of_memory,
    out_of_memory_message,
    split_batch,
)
from pochitrain.engine.interrupt import StopRequest
from pochitrain.engine.state import EpochRecord, TrainState
from pochitrain.error import DataError, Interrupted, PochiError
from pochitrain.scheduler.warm_up import step_scheduler

log = logging.getLogger(__name__)


class Trainer:
    """Trains `state.model` until `state.epochs` epochs are done or a callback stops the run."""

    def __init__(
        self,
        state: TrainState,
        train_loader: EpochLoader,
        val_loader: EpochLoader | None,
        criterion: nn.Module,
        precision: Precision,
        callbacks: Sequence[Callback],
        checkpoints: CheckpointWriter,
        *,
        gradient_accumulation: int = 1,
        gradient_clip_norm: float | None = None,
        faults: FaultPolicy | None = None,
        stop_request: StopRequest | None = None,
    ) -> None:
        """Wire a run.

        Args:
            gradient_accumulation: batches per optimizer step.
            gradient_clip_norm: largest L2 norm of all gradients together; None = not clipped.
            faults: what to do about a loss that is no number and about too little memory.
            stop_request: looked at between batches.
        """
        self.state = state
        self.train_loader = train_loader
        self.val_loader = val_loader
        self.criterion = criterion
        self.precision = precision
        self.callbacks = callbacks
        self.checkpoints = checkpoints
        self.model = state.model
        self.gradient_accumulation = gradient_accumulation
        self.gradient_clip_norm = gradient_clip_norm
        self.group_samples = samples_per_step(train_loader, gradient_accumulation)
        self.faults = faults or FaultPolicy()
        self.stop_request = stop_request or StopRequest()
        self.between_batches = False
        """Whether an error comes from fetching a batch, when the whole state is in order."""
        self.finite = FiniteLoss(self.faults.nonfinite, train_loader.dataset)

    def fit(self) -> TrainState:
        """Run the remaining epochs.

        Raises:
            Interrupted: when asked to stop; the state is saved.
            DataError: if images cannot be read any more; the state is saved if no optimizer
                step was half done.
            PochiError: a loss that is no number, too little memory, a checkpoint that cannot be
                written; the last checkpoint is complete.
        """
        try:
            self.emit("on_fit_start")
            self.run_epochs()
            self.emit("on_fit_end")
        except (Interrupted, DataError):
            if self.between_batches and self.between_steps():
                self.finite.settle()
                self.checkpoints.save_last(self.state, self.callbacks)
            self.checkpoints.finish()
            raise
        except RuntimeError as error:  # torch raises it wherever we are when a process dies
            self.checkpoints.finish()
            dead = dead_worker(error, self.train_loader.loader.num_workers)
            raise (dead or error) from None
        except Exception:  # what was saved just before is still on its way to the disk
            self.checkpoints.finish()
            raise
        self.checkpoints.finish()
        return self.state

    def run_epochs(self) -> None:
        state = self.state
        while state.epoch < state.epochs and state.stop_reason is None:
            self.model.train()  # before the event, at which a callback may freeze parts of it
            self.emit("on_epoch_start")
            self.train_epoch()
            validation = self.validate()
            self.finish_epoch(validation)
            self.emit("on_epoch_end")
            self.checkpoints.end_of_epoch(state, self.callbacks)

    def train_epoch(self) -> None:
        """The batches of the epoch that are still to do."""
        while not self.try_epoch():
            num_parts = self.state.num_microbatches
            log.warning(
                "%s",
                f"Out of memory: batches are computed in {num_parts} parts from now on, as "
                f"batch_size={self.train_loader.batches.batch_size // num_parts} "
                f"gradient_accumulation={self.gradient_accumulation * num_parts} would.",
            )
        self.finite.settle()

    def try_epoch(self) -> bool:
        """Train to the end of the epoch, or until memory is short and microbatches were halved."""
        state = self.state
        for batch in self.batches(self.train_loader, state.epoch, state.batch):
            if state.batch % self.gradient_accumulation == 0:
                self.group_weight: Tensor | float = 0.0
                self.sums_before_group = state.sums.values.clone()
                self.skipped_before_group = state.num_skipped
            try:
                self.backward(batch)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self.halve_microbatch(error, batch)
                return False
            state.batch += 1
            if self.between_steps():
                self.step()
            self.emit("on_batch_end")
            if self.between_steps() and state.batch < len(self.train_loader):
                self.save_in_mid_epoch()
        return True

    def between_steps(self) -> bool:
        """Whether no gradient is waiting, which a checkpoint would lose."""
        batch = self.state.batch
        return batch % self.gradient_accumulation == 0 or batch == len(self.train_loader)

    def save_in_mid_epoch(self) -> None:
        if self.checkpoints.is_due(self.state):
            self.finite.settle()
            self.checkpoints.save_last(self.state, self.callbacks)

    def batches(self, loader: EpochLoader, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Batches of an epoch; ends with `Interrupted` when the run was asked to stop."""
        iterator = loader.epoch(epoch, start)
        while True:
            self.between_batches = True
            if self.stop_request.signal is not None and self.between_steps():
                done = f"after {self.state.batch} of {len(self.train_loader)} batches"
                raise self.stop_request.error(f"in epoch {self.state.epoch + 1}, {done}")
            batch = next(iterator, None)
            self.between_batches = False
            if batch is None:
                return
            yield batch

    def halve_microbatch(self, error: BaseException, batch: Batch) -> None:
        """Go back to where the gradients of this step begin, to compute them in smaller parts.

        Raises:
            PochiError: if that is not wanted or not possible.
        """
        state = self.state
        if self.faults.out_of_memory == "stop" or len(batch.images) < 4 * state.num_microbatches:
            message = out_of_memory_message(error, batch, self.gradient_accumulation)
            raise PochiError(message) from None
        state.num_microbatches *= 2
        state.batch -= state.batch % self.gradient_accumulation
        state.sums.values.copy_(self.sums_before_group)
        state.num_skipped = self.skipped_before_group
        state.optimizer.zero_grad(set_to_none=True)

    def backward(self, batch: Batch) -> None:
        """Add the gradient of one batch."""
        num_microbatches = self.state.num_microbatches
        parts = [batch] if num_microbatches == 1 else split_batch(batch, num_microbatches)
        for part in parts:
            self.backward_microbatch(part, batch)

    def backward_microbatch(self, part: Batch, batch: Batch) -> None:
        """Add the gradient of a part (perhaps all) of a batch."""
        images, labels, _ = part
        with self.precision.autocast():
            logits = self.model(images)
            loss, weight = loss_sums(self.criterion, logits, labels)
        if not self.finite.accept(loss, batch, self.state):
            return
        if self.gradient_accumulation > 1:  # the total weight is known at the step: average()
            divisor: Tensor | int = self.samples_of_step(self.state.batch)
            self.group_weight = self.group_weight + weight.detach()
        else:
            divisor = weight if part is batch else self.weight_of(batch, logits.shape[1])
        scaled: Tensor = self.state.scaler.scale(loss / divisor)
        torch.autograd.backward(scaled)
        hard = labels if labels.ndim == 1 else labels.argmax(dim=1)
        correct = (logits.detach().argmax(dim=1) == hard).sum()
        self.state.sums.add(loss, weight, correct, len(images))

    def samples_of_step(self, batch: int) -> int:
        """Samples that the optimizer step with this batch of the epoch (0-based) is made of."""
        return self.group_samples[batch // self.gradient_accumulation]

    def average(self) -> None:
        """Make accumulated gradients those of one big batch: total loss / total weight."""
        factor = self.samples_of_step(self.state.batch - 1) / self.group_weight
        parameters = self.state.model.parameters()
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        torch._foreach_mul_(gradients, factor)  # one launch for all on a GPU

    def weight_of(self, batch: Batch, num_classes: int) -> Tensor:
        """What the loss of a whole batch is divided by; class weights depend on labels only."""
        blank = torch.zeros(len(batch.labels), num_classes, device=batch.labels.device)
        return loss_sums(self.criterion, blank, batch.labels)[1]

    def step(self) -> None:
        """Apply the gradients, if there are any."""
        state = self.state
        skipped = state.num_skipped > self.skipped_before_group
        if skipped and all(parameter.grad is None for parameter in state.model.parameters()):
            return
        state.scaler.unscale_(state.optimizer)
        if self.gradient_accumulation > 1:
            self.average()
        self.emit("on_gradients")
        if self.gradient_clip_norm is not None:
            nn.utils.clip_grad_norm_(state.model.parameters(), self.gradient_clip_norm)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)
        state.step += 1

    def validate(self) -> Evaluation | None:
        if self.val_loader is None:
            return None
        self.between_batches = True  # all training batches are done
        self.emit("on_validation_start")
        batches = self.batches(self.val_loader, epoch=0)
        return evaluate(self.model, batches, self.criterion, self.precision)

    def finish_epoch(self, validation: Evaluation | None) -> None:
        """Record the epoch with the learning rates used in it, then step the scheduler."""
        state = self.state
        loss, accuracy = state.sums.result()
        if loss != loss:
            raise PochiError(
                f"No batch of epoch {state.epoch + 1} had a finite loss, so there was nothing to "
                "learn from. Lower learning_rate or set gradient_clip_norm."
            )
        state.sums.values.zero_()
        state.epoch += 1
        state.batch = 0
        state.confusion = None if validation is None else validation.confusion
        groups = state.optimizer.param_groups
        layer_rates = {group["name"]: group["lr"] for group in groups if "name" in group}
        rate = state.optimizer.defaults["lr"] if layer_rates else groups[0]["lr"]
        record = EpochRecord(
            state.epoch,
            float(rate),
            loss,
            accuracy,
            None if validation is None else validation.loss,
            None if validation is None else validation.accuracy,
            {name: float(value) for name, value in layer_rates.items()},
        )
        state.record(record)
        step_scheduler(state.scheduler, record.value(state.monitor.metric))

    def emit(self, event: str) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self.state)


def samples_per_step(loader: EpochLoader, gradient_accumulation: int) -> list[int]:
    """Samples that each optimizer step of an epoch is made of."""
    bounds = loader.batches.bounds()
    groups = [
        bounds[i : i + gradient_accumulation] for i in range(0, len(bounds), gradient_accumulation)
    ]
    return [group[-1][1] - group[0][0] for group in groups]
