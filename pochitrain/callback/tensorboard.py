"""The metrics of each epoch for TensorBoard."""

from pathlib import Path
from typing import Any

from pochitrain.engine.callback import Callback
from pochitrain.engine.state import TrainState
from pochitrain.error import ConfigError


class TensorBoard(Callback):
    """Writes event files below `folder`. The step is the epoch, 1-based."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer: Any = None

    def on_fit_start(self, state: TrainState) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # A resumed run repeats the epochs after the checkpoint: hide the earlier values of them.
        purge = state.epoch + 1 if state.epoch else None
        self.writer = SummaryWriter(str(self.folder), purge_step=purge)

    def on_epoch_end(self, state: TrainState) -> None:
        record = state.history[-1]
        numbers = {
            "loss/train": record.train_loss,
            "loss/val": record.val_loss,
            "accuracy/train": record.train_accuracy,
            "accuracy/val": record.val_accuracy,
            **{f"{name.removeprefix('val_')}/val": value for name, value in record.metrics.items()},
            "learning_rate": record.learning_rate,
            **{f"learning_rate/{name}": rate for name, rate in record.layer_rates.items()},
            **{f"extra/{name}": value for name, value in record.extra.items()},
        }
        for name, value in numbers.items():
            if value is not None:
                self.writer.add_scalar(name, value, record.epoch)
        self.writer.flush()

    def on_fit_end(self, state: TrainState) -> None:
        self.writer.close()


def require_tensorboard() -> None:
    """Refuse metrics.tensorboard=true where the package is not installed.

    Raises:
        ConfigError: with the command to install it.
    """
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"metrics.tensorboard must be false without the tensorboard package, got true ({error})"
            ". Install it with: pip install 'pochitrain[tensorboard]'."
        ) from error
