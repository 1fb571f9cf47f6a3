"""The training loop."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from pochitrain.data.loader import Batch, EpochLoader
from pochitrain.data.worker import dead_worker
from pochitrain.engine.callback import Callback
from pochitrain.engine.checkpoint import CheckpointWriter
from pochitrain.engine.device import Precision
from pochitrain.engine.evaluate import evaluate
from pochitrain.engine.fault import FaultPolicy, FiniteLossCheck
from pochitrain.engine.interrupt import StopRequest
from pochitrain.engine.microbatch import GradientAccumulator
from pochitrain.engine.process_group import ALONE, ProcessGroup
from pochitrain.engine.shared_batches import agreed_batches
from pochitrain.engine.state import Collected, EpochRecord, TrainState, random_state
from pochitrain.error import DataError, Interrupted, PochiError, ToldElsewhere
from pochitrain.metric.metric import Evaluation, Metric, compute_metrics, wanted_top_k
from pochitrain.scheduler.warm_up import step_scheduler

LEFT_OUT_COLUMN = "val_accuracy_without_leaks"
"""Accuracy in percent on the validation images that are not in training too."""


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
        metrics: Sequence[Metric] = (),
        accumulator: type[GradientAccumulator] = GradientAccumulator,
        left_out: Tensor | None = None,
        group: ProcessGroup = ALONE,
    ) -> None:
        """Prepare a run.

        Args:
            gradient_accumulation: batches per optimizer step.
            gradient_clip_norm: largest L2 norm of all gradients together; None = not clipped.
            faults: how to handle a non-finite loss (NaN or infinity) and a lack of memory.
            stop_request: checked between batches.
            metrics: metrics to compute in validation besides loss and accuracy.
            accumulator: computes the gradients.
            left_out: True for each validation image without which the accuracy is computed once
                more (LEFT_OUT_COLUMN), bool, shape (N,); None = no such column.
            group: the processes that train together; each has its own trainer, loaders and copy of
                the state, and what they agree on is the same in all.
        """
        self.state = state
        self.metrics = metrics
        self.left_out = left_out
        self.train_loader = train_loader
        self.val_loader = val_loader
        self.criterion = criterion
        self.precision = precision
        self.callbacks = callbacks
        self.checkpoints = checkpoints
        self.model = state.model
        self.gradient_accumulation = gradient_accumulation
        self.gradient_clip_norm = gradient_clip_norm
        faults = faults or FaultPolicy()
        self.group = group
        self.loss_check = FiniteLossCheck(faults.nonfinite, train_loader.dataset, group)
        self.gradients = accumulator(
            state,
            train_loader,
            criterion,
            precision,
            self.loss_check,
            faults,
            gradient_accumulation,
            group,
        )
        self.stop_request = stop_request or StopRequest()
        self.between_batches = False
        """Whether a batch is being fetched: an error then leaves the state consistent."""

    def fit(self) -> TrainState:
        """Run the remaining epochs.

        Raises:
            Interrupted: after a stop request; the state is saved.
            DataError: if images can no longer be read; the state is saved, unless an optimizer step
                was incomplete.
            PochiError: for a non-finite loss, a lack of memory, or a checkpoint that cannot be
                written; the last checkpoint is complete.
        """
        try:
            self.emit("on_fit_start")
            self.run_epochs()
            self.emit("on_fit_end")
        except (Interrupted, DataError, ToldElsewhere):
            if self.between_batches and self.gradients.is_between_steps():
                self.save()
            self.checkpoints.finish()
            self.group.largest(0)  # nobody ends before the first process has saved
            raise
        except RuntimeError as error:  # torch raises it anywhere when a loader process dies
            self.checkpoints.finish()
            lost = self.group.lost()
            if lost is not None:
                raise PochiError(lost) from error
            dead = dead_worker(error, self.train_loader.loader.num_workers)
            if dead is None:
                raise
            raise dead from error
        except Exception:  # a checkpoint may still be being written
            self.checkpoints.finish()
            raise
        self.checkpoints.finish()
        return self.state

    def run_epochs(self) -> None:
        """Train and validate until the last epoch is done or a callback stops the run."""
        state = self.state
        while state.epoch < state.epochs and state.stop_reason is None:
            self.model.train()  # before the event, at which a callback may freeze parts of it
            self.emit("on_epoch_start")
            self.train_epoch()
            validation = self.validate()
            self.finish_epoch(validation)
            self.end_epoch()
            self.collect()
            self.checkpoints.end_of_epoch(state, self.callbacks)

    def train_epoch(self) -> None:
        """Train on the remaining batches of the epoch."""
        finished = False
        while not finished:  # after a lack of memory, repeat from the first batch of that step
            finished = self.train_batches()
        self.loss_check.check_pending()

    def train_batches(self) -> bool:
        """Train from batch `state.batch` on; False if memory was short and parts were halved."""
        state = self.state
        for batch in self.batches(self.train_loader, state.epoch, state.batch):
            if not self.gradients.add(batch):
                return False
            state.batch += 1
            complete = self.gradients.is_between_steps()
            if complete:
                self.step()
            self.emit("on_batch_end")
            if complete and state.batch < len(self.train_loader) and self.is_due():
                self.save()
        return True

    def step(self) -> None:
        """Apply the gradients, unless every batch of the step was skipped."""
        state = self.state
        if self.gradients.is_empty():
            return
        self.gradients.exchange()
        state.scaler.unscale_(state.optimizer)
        self.gradients.average()
        self.emit("on_gradients")
        if self.gradient_clip_norm is not None:
            nn.utils.clip_grad_norm_(state.model.parameters(), self.gradient_clip_norm)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        self.gradients.clear()
        state.step += 1

    def save(self) -> None:
        """Write `last.pth`, between two steps."""
        self.loss_check.check_pending()
        self.collect()
        self.checkpoints.save_last(self.state, self.callbacks)

    def is_due(self) -> bool:
        """Whether to save now, in the middle of an epoch."""
        due = self.checkpoints.is_due(self.state)
        if self.checkpoints.every_minutes is None:
            return due
        return self.group.from_first(lambda: due)  # the clocks of processes differ

    def collect(self) -> None:
        """Prepare the first process to save what each one has by itself."""
        if self.group.is_alone:
            return
        sums = self.state.sums.values.clone()
        self.group.add_up([sums])
        found = self.group.gather(random_state())
        self.state.collected = Collected(sums, found) if found else None

    def batches(self, loader: EpochLoader, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from number `start` (0-based) on.

        Raises:
            Interrupted: between two optimizer steps, after a stop request.
        """
        iterator = loader.epoch(epoch, start)
        if not self.group.is_alone:
            iterator = agreed_batches(
                iterator,
                len(loader) - start,
                self.group,
                self.stop_request,
                self.describe_place,
                self.gradients.is_between_steps,
                self.gradients.num_without,
            )
        while True:
            self.between_batches = True
            asked = self.group.is_alone and self.stop_request.signal is not None
            if asked and self.gradients.is_between_steps():
                raise self.stop_request.error(self.describe_place())
            batch = next(iterator, None)
            self.between_batches = False
            if batch is None:
                return
            yield batch

    def describe_place(self) -> str:
        state = self.state
        done = f"after {state.batch} of {len(self.train_loader)} batches"
        return f"in epoch {state.epoch + 1}, {done}"

    def validate(self) -> Evaluation | None:
        """Evaluate the model on the validation split; None without one."""
        if self.val_loader is None:
            return None
        self.between_batches = True  # all training batches are done
        self.emit("on_validation_start")
        batches = self.batches(self.val_loader, epoch=0)
        return evaluate(
            self.model,
            batches,
            self.criterion,
            self.precision,
            wanted_top_k(self.metrics),
            self.left_out,
            self.val_loader.num_samples,
            self.group,
        )

    def finish_epoch(self, validation: Evaluation | None) -> None:
        """Record the epoch with the learning rates used in it."""
        state = self.state
        self.group.add_up([state.sums.values])
        loss, accuracy = state.sums.result()
        if loss != loss:
            raise PochiError(
                f"No batch of epoch {state.epoch + 1} had a finite loss, so there was nothing to "
                "learn from. Lower learning_rate or set gradient_clip_norm."
            )
        state.sums.values.zero_()
        state.epoch += 1
        state.batch = 0
        if validation is not None:
            state.confusion = torch.from_numpy(validation.confusion)
            assert validation.predicted is not None and validation.confidence is not None
            state.predicted = torch.from_numpy(validation.predicted)
            state.confidence = torch.from_numpy(validation.confidence)
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
            metrics={} if validation is None else compute_metrics(self.metrics, validation),
        )
        if validation is not None and validation.accuracy_of_kept is not None:
            record.extra[LEFT_OUT_COLUMN] = validation.accuracy_of_kept
        state.record(record)
        if state.is_judged:
            self.step_scheduler()

    def end_epoch(self) -> None:
        """Call on_epoch_end; one of the callbacks may add the monitored value of the epoch."""
        state = self.state
        for callback in self.callbacks:
            callback.on_epoch_end(state)
            if not state.is_judged and state.monitor.metric in state.history[-1].numbers():
                state.judge()
                self.step_scheduler()
        if not self.group.is_alone:
            decided = state.history[-1].extra, state.stop_reason
            state.history[-1].extra, state.stop_reason = self.group.from_first(lambda: decided)
        if not state.is_judged:  # no callback has added it in this epoch
            state.judge()
            self.step_scheduler()

    def step_scheduler(self) -> None:
        state = self.state
        step_scheduler(state.scheduler, state.history[-1].value(state.monitor.metric))

    def emit(self, event: str) -> None:
        """Call the method `event` of every callback, in order."""
        for callback in self.callbacks:
            getattr(callback, event)(self.state)
