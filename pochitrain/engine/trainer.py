"""The training loop, and the only backward pass."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from pochitrain.data.loader import Batch, EpochLoader
from pochitrain.engine.callback import Callback
from pochitrain.engine.checkpoint import CheckpointWriter
from pochitrain.engine.device import Precision
from pochitrain.engine.evaluate import Evaluation, evaluate, loss_sums
from pochitrain.engine.state import EpochRecord, TrainState
from pochitrain.error import ConfigError


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
    ) -> None:
        """Wire a run.

        Args:
            gradient_accumulation: batches per optimizer step.
            gradient_clip_norm: largest L2 norm of all gradients together; None = not clipped.
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

    def fit(self) -> TrainState:
        """Run the remaining epochs."""
        state = self.state
        self.emit("on_fit_start")
        while state.epoch < state.epochs and state.stop_reason is None:
            self.emit("on_epoch_start")
            self.train_epoch()
            validation = self.validate()
            self.finish_epoch(validation)
            self.emit("on_epoch_end")
            self.checkpoints.end_of_epoch(state, self.callbacks)
        self.emit("on_fit_end")
        return state

    def train_epoch(self) -> None:
        """The batches of the epoch that are still to do."""
        state = self.state
        self.model.train()
        for batch in self.train_loader.epoch(state.epoch, state.batch):
            self.backward(batch)
            state.batch += 1
            last = state.batch == len(self.train_loader)
            complete = state.batch % self.gradient_accumulation == 0
            if complete or last:
                self.step()
            self.emit("on_batch_end")
            if complete and not last:  # between steps there is no gradient to save
                self.checkpoints.in_mid_epoch(state, self.callbacks)

    def backward(self, batch: Batch) -> None:
        """Add the gradient of one batch."""
        images, labels, _ = batch
        with self.precision.autocast():
            logits = self.call_model(images)
            loss, weight = loss_sums(self.criterion, logits, labels)
        # Each batch counts by its samples, so that k batches give the gradient of a big one.
        group = self.state.batch // self.gradient_accumulation
        share = len(images) / self.group_samples[group]
        scaled: Tensor = self.state.scaler.scale(loss / weight * share)
        torch.autograd.backward(scaled)
        hard = labels if labels.ndim == 1 else labels.argmax(dim=1)
        correct = (logits.detach().argmax(dim=1) == hard).sum()
        self.state.sums.add(loss, weight, correct, len(images))

    def call_model(self, images: Tensor) -> Tensor:
        try:
            logits: Tensor = self.model(images)
        except ValueError as error:
            if "more than 1 value per channel" in str(error):
                raise ConfigError(
                    f"batch_size must be >= 2 for this model at {images.shape[-1]} px (batch norm "
                    f"cannot work on one value), got a batch of {len(images)}."
                ) from None
            raise
        return logits

    def step(self) -> None:
        """Apply the gradients."""
        state = self.state
        state.scaler.unscale_(state.optimizer)
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
        self.emit("on_validation_start")
        return evaluate(self.model, self.val_loader.epoch(0), self.criterion, self.precision)

    def finish_epoch(self, validation: Evaluation | None) -> None:
        """Record the epoch with the learning rates used in it, then step the scheduler."""
        state = self.state
        loss, accuracy = state.sums.result()
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
        if isinstance(state.scheduler, ReduceLROnPlateau):
            state.scheduler.step(record.value(state.monitor.metric))
        else:
            state.scheduler.step()

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
