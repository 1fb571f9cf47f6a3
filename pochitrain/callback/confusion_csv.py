"""confusion_matrix.csv: the validation confusion matrix of the best epoch."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from pochitrain.atomic import write_text
from pochitrain.engine.callback import Callback
from pochitrain.engine.state import TrainState
from pochitrain.text import format_csv


class ConfusionMatrixCSV(Callback):
    """Rewrites the file after each epoch that is the best so far."""

    def __init__(self, path: Path, class_names: Sequence[str]) -> None:
        self.path = path
        self.class_names = list(class_names)

    def on_fit_start(self, state: TrainState) -> None:
        self.write(state)  # resumed: the file may be ahead of the checkpoint, or gone

    def on_epoch_end(self, state: TrainState) -> None:
        if state.is_best:
            self.write(state)

    def write(self, state: TrainState) -> None:
        """Write the matrix of the best epoch, if there was validation."""
        if state.best is not None and state.best.confusion is not None:
            write_text(self.path, format_confusion(state.best.confusion, self.class_names))


def format_confusion(confusion_CC: Tensor, class_names: Sequence[str]) -> str:
    """CSV text of the counts (C, C): a row per true class, a column per predicted class."""
    rows = zip(class_names, confusion_CC.tolist(), strict=True)
    return format_csv(["true_class", *class_names], ([name, *row] for name, row in rows))
