"""training_metrics.csv, complete after every epoch."""

from pathlib import Path

from pochitrain.atomic import write_text
from pochitrain.engine.callback import Callback
from pochitrain.engine.state import EpochRecord, TrainState
from pochitrain.text import format_csv

COLUMNS = (
    "epoch",
    "learning_rate",
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
)


class MetricsCSV(Callback):
    """Writes the history of the run. Each epoch replaces the file, so rows are always complete."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_fit_start(self, state: TrainState) -> None:
        if state.history:  # resumed: the file may be ahead of the checkpoint, or lost
            write_text(self.path, format_history(state.history))

    def on_epoch_end(self, state: TrainState) -> None:
        write_text(self.path, format_history(state.history))


def format_history(history: list[EpochRecord]) -> str:
    """CSV text: accuracies in percent, losses as means, rates as used in the epoch.

    Columns: those of the guide, further metrics, columns added by callbacks, layer-wise rates.
    """
    layers = list(history[0].layer_rates)
    metrics = dict.fromkeys(name for record in history for name in record.metrics)
    extra = dict.fromkeys(name for record in history for name in record.extra)
    rows = (
        [
            *(getattr(record, column) for column in COLUMNS),
            *(record.metrics.get(name) for name in metrics),
            *(record.extra.get(name) for name in extra),
            *(record.layer_rates[name] for name in layers),
        ]
        for record in history
    )
    return format_csv([*COLUMNS, *metrics, *extra, *(f"lr_{name}" for name in layers)], rows)
