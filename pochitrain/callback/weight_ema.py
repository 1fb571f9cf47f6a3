"""An exponential moving average of the weights, evaluated and saved beside them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pochitrain.atomic import write_with
from pochitrain.engine.callback import Callback
from pochitrain.engine.checkpoint import FORMAT, cannot_write
from pochitrain.engine.state import Monitor, TrainState
from pochitrain.error import PochiError
from pochitrain.metric.metric import Evaluation, Metric, compute_metrics
from pochitrain.metric.table import AVERAGED


class WeightEMA(Callback):
    """Averages weights and batch-norm statistics after each optimizer step.

    average = d * average + (1 - d) * weights with d = min(decay, (1 + n) / (10 + n)) after n
    steps, so that the random start does not dominate a short run (as in timm and TensorFlow).
    """

    def __init__(
        self,
        path: Path,
        model: nn.Module,
        decay: float,
        validate: Callable[[nn.Module], Evaluation] | None,
        metadata: dict[str, Any],
        metrics: Sequence[Metric] = (),
        writes: bool = True,
    ) -> None:
        """Average the weights of `model`.

        Args:
            path: checkpoint file of the averaged weights from their best epoch or, without
                validation, from the latest.
            decay: 0 < decay < 1.
            validate: evaluates a model on the validation split; None without validation.
            metadata: entries of every checkpoint of the run (class names, transforms, ...).
            metrics: metrics of the average to compute besides loss and accuracy.
            writes: False where another process of the run writes the file.
        """
        self.writes = writes
        self.path = path
        self.decay = decay
        self.validate = validate
        self.metadata = metadata
        self.metrics = metrics
        self.num_updates = 0
        self.step = 0
        self.best: float | None = None
        self.result: Evaluation | None = None
        self.average = AveragedModel(model, multi_avg_fn=self.update, use_buffers=True)
        # It looks at this counter in every step, which would make the CPU wait for a GPU.
        self.average.n_averaged = self.average.n_averaged.cpu()

    def update(self, average: Any, weights: Any, _: Tensor | int) -> None:
        """Update the average in place; AveragedModel calls this from the second step on."""
        n = self.num_updates
        decay = min(self.decay, (1 + n) / (10 + n))
        get_ema_multi_avg_fn(decay)(average, weights, n)  # type: ignore[no-untyped-call]

    def on_batch_end(self, state: TrainState) -> None:
        if state.step == self.step:  # gradients are still being accumulated
            return
        self.step = state.step
        self.average.update_parameters(state.model)
        self.num_updates += 1

    def on_validation_start(self, state: TrainState) -> None:
        """Evaluate the average. Not at the end of the epoch, so that it can be interrupted."""
        if self.validate is not None:
            self.result = self.validate(self.average.module)

    def on_epoch_end(self, state: TrainState) -> None:
        record = state.history[-1]
        if self.result is None:
            self.save(state)
            return
        result, self.result = self.result, None
        values = {"val_loss": result.loss, "val_accuracy": result.accuracy}
        values |= compute_metrics(self.metrics, result)
        record.extra.update({AVERAGED + name: value for name, value in values.items()})
        monitor = self.own_monitor(state.monitor, values)
        value = values[monitor.metric]
        if monitor.improves(value, self.best):
            self.best = value
            self.save(state)

    def own_monitor(self, monitor: Monitor, values: dict[str, float]) -> Monitor:
        """The monitored metric, computed with the average.

        It is val_accuracy if the metric cannot be evaluated (the training loss, a column added by
        another callback).
        """
        name = monitor.metric.removeprefix(AVERAGED)
        if name not in values:
            return Monitor("val_accuracy")
        return monitor if name == monitor.metric else Monitor(name)

    def save(self, state: TrainState) -> None:
        """Write the checkpoint of the averaged weights.

        Raises:
            PochiError: if that is not possible.
        """
        if not self.writes:
            return
        content = {
            "format": FORMAT,
            **self.metadata,
            "model": self.average.module.state_dict(),
            "monitor": state.monitor.metric,
            "epoch": state.epoch,
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_with(self.path, lambda file: torch.save(content, file))
        except (OSError, RuntimeError) as error:
            raise PochiError(cannot_write(self.path, error)) from error

    def state_dict(self) -> dict[str, Any]:
        return {
            "average": self.average.state_dict(),
            "num_updates": self.num_updates,
            "step": self.step,
            "best": self.best,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.average.load_state_dict(saved["average"])
        self.num_updates, self.step = saved["num_updates"], saved["step"]
        self.best = saved["best"]
