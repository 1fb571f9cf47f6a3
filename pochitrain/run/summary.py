"""The summaries in the terminal before and after a run."""

from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from rich.markup import escape
from torch import Tensor, nn

from pochitrain.config.component import plain
from pochitrain.config.model import BACKBONES
from pochitrain.config.transform_step import complete_steps, is_step
from pochitrain.console import PrintableConsole
from pochitrain.data.dataset import DataSplits, weights_of
from pochitrain.data.loader import EpochLoader
from pochitrain.engine.device import uses_tf32
from pochitrain.engine.state import TrainState
from pochitrain.metric.interval import wilson_interval
from pochitrain.optimizer.fused import name_kernels
from pochitrain.ranks import Ranks
from pochitrain.run.build import RunParts
from pochitrain.run.selection import Selection, describe_selection
from pochitrain.text import shorten_list

MAX_CLASSES = 12
"""Largest number of classes that are listed."""
WITH_GROUPS = "pochi infer RUN"
"""What knows the groups of the predictions."""


def print_start(console: PrintableConsole, rows: dict[str, str], data: DataSplits) -> None:
    """Print the summary at the start: `rows` (label -> text), then unreadable images."""
    width = max(map(len, rows))
    for label, text in rows.items():
        console.print(f"[bold]{label:<{width}}[/bold]  {escape(text)}")
    if data.skipped:
        console.warn(f"Left out {len(data.skipped)} unreadable picture(s):")
        for line in data.skipped:
            console.result(f"  {line}", markup=False)


def describe_run(
    cfg: DictConfig, parts: RunParts, folder: Path, ranks: Ranks | None = None
) -> dict[str, str]:
    """Rows of the summary at the start: label -> text.

    Args:
        ranks: of the processes that train together.
    """
    data, model, precision = parts.data, parts.state.model, parts.precision
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    num_val = 0 if data.val is None else len(data.val)
    tested = "" if data.test is None else f", {len(data.test):,} for the test at the end"
    device = str(precision.device)
    if precision.device.type == "cuda":
        device += f" ({torch.cuda.get_device_name(precision.device)})"
    rate = cfg.optimizer.get("lr", cfg.learning_rate)
    at = "a rate that is chosen below" if rate is None else f"{rate:g}"
    if ranks is not None and not ranks.is_alone:
        device = f"{ranks.world_size} processes ({ranks.launcher}), each on {precision.device.type}"
    rows = {
        "data": f"{len(data.train):,} training, {num_val:,} validation pictures{tested}",
        **({"split": data.division} if data.division else {}),
        "classes": describe_classes(data),
        "model": f"{cfg.model.get('name', type(model).__name__)}, {num_parameters:,} parameters",
        "training": (
            f"{cfg.epochs} epoch{'s' * (cfg.epochs > 1)}, "
            f"batches of {cfg.data.get('batch_size', cfg.batch_size)}, "
            f"{type_name(cfg.optimizer)} at {at}, {type_name(cfg.scheduler)}"
        ),
        "device": f"{device}, {precision.name}",
        "step": describe_step(cfg, parts),
        "run": str(folder),
        "loss": describe_weights(parts.criterion, data),
    }
    if cfg.model.get("_target_") in BACKBONES:  # these bring defaults of their own
        mean, std = (" ".join(f"{value:g}" for value in cfg[key]) for key in ("mean", "std"))
        rows["input"] = f"mean {mean}, std {std}, {describe_size(plain(cfg.transform))}"
    return rows | parts.chosen | describe_cache(parts.train_loader, parts.val_loader)


def describe_size(transform: dict[str, Any]) -> str:
    """How images get the size that the model sees."""
    text = f"transform.size {transform.get('size')}"
    steps = complete_steps(transform, "val", [])
    if any(is_step(node, "CenterCrop") for _, node in steps):
        text += f", crop_pct {transform['crop_pct']:g}"
    if transform.get("interpolation") and any("interpolation" in node for _, node in steps):
        text += f", {transform['interpolation']}"
    return text


def describe_step(cfg: DictConfig, parts: RunParts) -> str:
    """What the fixed rules have chosen for the training step."""
    chosen = [name_kernels(parts.state.optimizer)]
    chosen.append("channels_last" if cfg.channels_last else "channels_first")
    if uses_tf32(parts.precision.device, cfg.deterministic):
        chosen.append("TF32")
    chosen += ["compiled"] if cfg.compile else []
    return ", ".join([*chosen, f"{parts.train_loader.loader.num_workers} loader processes"])


def describe_cache(train_loader: EpochLoader, val_loader: EpochLoader | None) -> dict[str, str]:
    """A row on the decoded pictures that are kept; none where there is nothing to say."""
    notes = {
        "training": train_loader.cache_note,
        "validation": val_loader and val_loader.cache_note,
    }
    text = ", ".join(f"{split} {note}" for split, note in notes.items() if note)
    return {"cache": text} if text else {}


def type_name(node: DictConfig) -> str:
    """Name of the class or function that a config node builds."""
    return str(node["_target_"]).rpartition(".")[2]


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


def describe_validation(
    state: TrainState, has_groups: bool, selection: Selection | None = None
) -> str:
    """How far to trust the validation accuracy of the best epoch; empty without validation.

    Args:
        has_groups: whether the images belong to groups, so that they are not independent.
        selection: how much the choice of the best epoch has added, where that is known.
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
    chosen = describe_selection(state, selection)
    return f"{text}; {chosen}" if chosen else text


def print_end(
    console: PrintableConsole,
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
        console.warn("No epoch gave a usable metric.")
    else:
        name = state.monitor.metric.replace("_", " ")
        value = state.monitor.format(state.best.value)
        console.result(
            f"Best epoch {state.best.epoch} of {state.epoch}: {name} {value}", style="bold"
        )
    if trust:
        console.print(trust, markup=False)
    if remark is not None:
        console.warn(remark)
    console.written(folder, [str(file.relative_to(folder)) for file in files if file.exists()])
