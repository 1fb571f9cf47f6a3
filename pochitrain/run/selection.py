"""How much too good the best epoch looks on the validation images that it was chosen on.

`optimism.json` in the run directory has the numbers, the summary a sentence.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from pochitrain.callback.epoch_predictions import EpochPredictions
from pochitrain.data.dataset import groups_of
from pochitrain.engine.callback import Callback
from pochitrain.engine.state import TrainState
from pochitrain.inference.table import save_json
from pochitrain.metric.interval import evaluate
from pochitrain.metric.metric import Metric
from pochitrain.metric.selection import estimate_optimism, matrices
from pochitrain.metric.table import find_metric

FILE = "optimism.json"


@dataclass(frozen=True)
class Selection:
    """The choice of the best epoch, and what it has added. Values in the unit of the metric."""

    monitor: str
    higher_is_better: bool
    epochs: int
    images: int
    """Those that the training has not seen."""
    groups: int | None
    """Number of groups, which stayed whole in the halves."""
    value: float
    """Of the best epoch, on the images that it was chosen on."""
    value_without_leaks: float | None
    """The same on `images`; None where no validation image is in training too."""
    optimism: float
    """>= 0; see `metric/selection.py`."""
    untouched: float
    """What other images would show, about."""
    halvings: int
    seed: int


def judge_selection(
    state: TrainState,
    callbacks: Sequence[Callback],
    metrics: Sequence[Metric],
    leaked: Tensor | None = None,
) -> Selection | None:
    """The optimism of the best epoch.

    None where it is not known: one epoch, a monitored value that does not follow from the predicted
    classes (a loss, a top-k accuracy, an average of weights, a column), too much or too little to
    do.

    Args:
        metrics: of the run, in which the monitored one is looked up.
        leaked: True for each validation image that is in training too, bool, shape (N,): these say
            nothing about other images. None = there are none.
    """
    kept = next((each for each in callbacks if isinstance(each, EpochPredictions)), None)
    table = None if kept is None else kept.table()
    name = state.monitor.metric
    metric = next((each for each in metrics if each.name == name), find_metric(name))
    if kept is None or table is None or state.best is None or metric is None:
        return None
    if metric.compute is None or metric.top_k is not None:
        return None
    metric = replace(metric, higher_is_better=state.monitor.higher_is_better)
    best = state.best
    if best.confusion is None or not math.isclose(
        evaluate([metric], best.confusion.numpy())[0], best.value, rel_tol=1e-9
    ):
        return None  # it needs more than the classes: the loss
    labels, groups = np.asarray(kept.dataset.labels, np.int64), groups_of(kept.dataset)
    num_classes, value = len(kept.class_names), best.value
    without_leaks: float | None = None
    if leaked is not None:
        is_new = ~leaked.numpy()
        labels, table = labels[is_new], table[:, is_new]
        groups = None if groups is None else groups[is_new]
    found = estimate_optimism(labels, table, metric, num_classes, groups)
    if found is None:
        return None
    if leaked is not None:
        cells_EN = labels * num_classes + table[best.epoch - 1 : best.epoch].astype(np.int64)
        (confusion,) = matrices(cells_EN, num_classes)
        value = without_leaks = evaluate([metric], confusion)[0]
        if not math.isfinite(value):
            return None
    sign = 1 if state.monitor.higher_is_better else -1
    return Selection(
        name,
        state.monitor.higher_is_better,
        len(table),
        len(labels),
        None if groups is None else len(np.unique(groups)),
        best.value,
        without_leaks,
        found.amount,
        value - sign * found.amount,
        found.num_halvings,
        found.seed,
    )


def save_selection(folder: Path, selection: Selection | None) -> None:
    """Write optimism.json; a file of a part of the run that a later one has outdated is removed."""
    if selection is None:
        (folder / FILE).unlink(missing_ok=True)
    else:
        save_json(folder / FILE, asdict(selection))


def describe_selection(state: TrainState, selection: Selection | None) -> str:
    """A clause on the choice of the best epoch; empty where there was none to make."""
    if state.epoch < 2:
        return ""
    chosen = f"best of {state.epoch:,} epochs, chosen on these pictures"
    if selection is None:
        return f"{chosen}: a little too good"
    monitor = state.monitor
    if selection.monitor != "val_accuracy":
        chosen += f" by {selection.monitor.replace('_', ' ')} {monitor.format(selection.value)}"
    shown = monitor.format(selection.untouched)
    if shown == monitor.format(selection.value):
        return f"{chosen}: untouched ones would show about the same"
    return f"{chosen}: untouched ones would show about {shown}"
