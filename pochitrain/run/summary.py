"""The summaries in the terminal before and after a run."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from torch import Tensor, nn

from pochitrain.data.dataset import DataSplits, weights_of
from pochitrain.engine.state import TrainState
from pochitrain.metric.interval import wilson_interval
from pochitrain.text import shorten_list

MAX_CLASSES = 12
"""Largest number of classes that are listed."""
WITH_GROUPS = "pochi infer RUN"
"""What knows the groups of the predictions."""


def print_start(console: Console, rows: dict[str, str], data: DataSplits) -> None:
    """Print the summary at the start: `rows` (label -> text), then unreadable images."""
    width = max(map(len, rows))
    for label, text in rows.items():
        console.print(f"[bold]{label:<{width}}[/bold]  {escape(text)}")
    if data.skipped:
        console.print(f"Left out {len(data.skipped)} unreadable picture(s):", style="yellow")
        for line in data.skipped:
            console.print(f"  {line}", markup=False)


def describe_classes(data: DataSplits) -> str:
    """`name train/val` (numbers of images) of each class, shortened if there are many."""
    train = data.count_per_class(data.train)
    val = [0] * len(train) if data.val is None else data.count_per_class(data.val)
    shown = [
        f"{name} {n}" if data.val is None else f"{name} {n}/{m}"
        for name, n, m in zip(data.class_names, train, val, strict=True)
    ]
    return f"{len(shown)}: {shorten_list(shown, MAX_CLASSES)}"


def describe_weights(criterion: nn.Module, data: DataSplits) -> str:
    """What counts how much in the training loss: pictures, classes."""
    of_pictures = describe_sample_weights(data)
    weight = getattr(criterion, "weight", None)
    if not isinstance(weight, Tensor):
        return of_pictures or "all pictures have the same weight"
    pairs = zip(data.class_names, weight.tolist(), strict=True)
    shown = [f"{name} {value:.3g}" for name, value in pairs]
    of_classes = f"class weights {shorten_list(shown, MAX_CLASSES)}"
    return f"{of_pictures}; {of_classes}" if of_pictures else of_classes


def describe_sample_weights(data: DataSplits) -> str:
    """The range of the weights of the training pictures; empty where all count the same."""
    weights = weights_of(data.train)
    if weights is None:
        return ""
    return f"pictures count {weights.min():.3g} to {weights.max():.3g} times in training"


def describe_validation(state: TrainState, has_groups: bool) -> str:
    """How far to trust the validation accuracy of the best epoch; empty without validation.

    Args:
        has_groups: whether the images belong to groups, so that they are not independent.
    """
    if state.best is None or state.best.confusion is None:
        return ""
    confusion_CC = state.best.confusion
    num_images, num_right = int(confusion_CC.sum()), int(confusion_CC.diagonal().sum())
    text = f"Validation accuracy {100 * num_right / num_images:.2f} % on {num_images:,} pictures"
    if has_groups:
        text += f" (its 95 % interval, by groups: {WITH_GROUPS})"
    else:
        interval = wilson_interval(num_right, num_images)
        text += f" (95 % interval {interval.low:.2f} to {interval.high:.2f} %)"
    if state.epoch > 1:
        text += f"; best of {state.epoch:,} epochs, chosen on these pictures: a little too good"
    return text


def print_end(
    console: Console,
    state: TrainState,
    folder: Path,
    files: list[Path],
    remark: str | None = None,
    trust: str = "",
) -> None:
    """Print the summary at the end: best epoch and value, a remark on it, the files written.

    Args:
        trust: see `describe_validation`.
    """
    if state.stop_reason is not None:
        console.print(f"Stopped after epoch {state.epoch}: {state.stop_reason}", markup=False)
    if state.best is None:
        console.print("No epoch gave a usable metric.", style="yellow")
    else:
        name = state.monitor.metric.replace("_", " ")
        value = state.monitor.format(state.best.value)
        console.print(
            f"Best epoch {state.best.epoch} of {state.epoch}: {name} {value}", style="bold"
        )
    if trust:
        console.print(trust, markup=False)
    if remark is not None:
        console.print(remark, style="yellow", markup=False)
    console.print(f"Written to {folder}:")
    names = [str(file.relative_to(folder)) for file in files if file.exists()]
    console.print(f"  {'  '.join(names)}")
