"""All graphs of a training run, from the tables in its directory."""

from pathlib import Path

from pochitrain.config.insight import ConfusionMatrixConfig
from pochitrain.report.confusion_matrix import draw_confusion_matrix
from pochitrain.report.curve import draw_curves
from pochitrain.report.gradient import draw_gradients


def draw_run(folder: Path, style: ConfusionMatrixConfig, *, log_rates: bool = False) -> list[Path]:
    """Draw the graphs of a run into `folder`/graphs, as far as its tables exist.

    Args:
        style: how to draw the confusion matrix.
        log_rates: logarithmic axis for layer-wise learning rates.

    Returns:
        The files written.
    """
    graphs = folder / "graphs"
    written = []
    if (folder / "training_metrics.csv").exists():
        written += draw_curves(folder / "training_metrics.csv", graphs, log_rates=log_rates)
    written += draw_gradients(folder / "gradient_trace.csv", graphs)
    if (folder / "confusion_matrix.csv").exists():
        written.append(graphs / "confusion_matrix.png")
        draw_confusion_matrix(folder / "confusion_matrix.csv", written[-1], style)
    return written
