"""Builds the callbacks of a training run, in the order in which they are called."""

from collections.abc import Callable, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from torch import nn

from pochitrain.callback.confusion_csv import ConfusionMatrixCSV
from pochitrain.callback.early_stopping import EarlyStopping
from pochitrain.callback.epoch_predictions import EpochPredictions
from pochitrain.callback.freeze import FreezeBackbone, FreezeNorm
from pochitrain.callback.gradient_tracking import GradientTracking
from pochitrain.callback.metrics_csv import MetricsCSV
from pochitrain.callback.stop import StopAfterEpoch
from pochitrain.callback.tensorboard import TensorBoard, require_tensorboard
from pochitrain.callback.trial_report import TrialReport
from pochitrain.callback.weight_ema import WeightEMA
from pochitrain.config.component import Components, call_partial, plain
from pochitrain.config.insight import ConfusionMatrixConfig
from pochitrain.config.signature import offer
from pochitrain.config.strategy import freezes_norm
from pochitrain.data.dataset import DataSplits
from pochitrain.data.loader import EpochLoader
from pochitrain.engine.callback import Callback
from pochitrain.engine.device import Precision
from pochitrain.engine.evaluate import evaluate
from pochitrain.engine.interrupt import StopRequest
from pochitrain.engine.process_group import ProcessGroup
from pochitrain.engine.shared_batches import agreed_batches
from pochitrain.error import ConfigError, require
from pochitrain.metric.metric import Evaluation, Metric, wanted_top_k
from pochitrain.model.block import find_blocks
from pochitrain.run.judge import VAL_PREDICTIONS
from pochitrain.run.metric import build_monitor
from pochitrain.sweep import current_trial


def freezing_callbacks(cfg: DictConfig, model: nn.Module) -> list[Callback]:
    """The callbacks that keep parts of `model` as they are."""
    callbacks: list[Callback] = []
    freeze = cfg.model.get("freeze")
    if freeze:
        callbacks.append(FreezeBackbone(model, None if freeze is True else freeze))
    if freezes_norm(cfg):
        callbacks.append(FreezeNorm(model))
    return callbacks


def build_callbacks(
    cfg: DictConfig,
    folder: Path,
    model: nn.Module,
    class_names: Sequence[str],
    ema: WeightEMA | None,
    user_callbacks: Sequence[Callback] = (),
    metrics: Sequence[Metric] = (),
    is_first: bool = True,
) -> list[Callback]:
    """The callbacks that the config enables; their files are written below `folder`.

    Args:
        is_first: False in the other processes of a run, which neither write nor decide: they have
            only what changes the model, and the user's callbacks.
    """
    callbacks = freezing_callbacks(cfg, model)
    if ema is not None:  # before callbacks that show or write its results
        callbacks.append(ema)
    callbacks += user_callbacks  # likewise: they may add columns
    if not is_first:
        return callbacks
    if cfg.metrics.export:
        callbacks.append(MetricsCSV(folder / "training_metrics.csv"))
        callbacks.append(ConfusionMatrixCSV(folder / "confusion_matrix.csv", class_names))
    if tracks_gradients(cfg):
        callbacks.append(build_gradient_tracking(cfg, folder, model))
    if cfg.metrics.tensorboard:
        callbacks.append(TensorBoard(folder / "tensorboard"))
    node = cfg.early_stopping
    if node.enabled:
        monitor = build_monitor(cfg, node.monitor, metrics, "early_stopping.monitor")
        callbacks.append(
            EarlyStopping(patience=node.patience, min_delta=node.min_delta, monitor=monitor)
        )
    if cfg.stop_after_epoch is not None:
        callbacks.append(StopAfterEpoch(cfg.stop_after_epoch))
    trial = current_trial()
    if trial is not None:
        callbacks.append(TrialReport(trial))
    return callbacks


def build_predictions(cfg: DictConfig, folder: Path, data: DataSplits) -> list[EpochPredictions]:
    """The callback that keeps what each epoch says; none without validation, and in searches.

    It writes the table of the best epoch only where `run/judge.py` does not write a fuller one.
    """
    if data.val is None or cfg.optuna.enabled:
        return []
    is_written = cfg.metrics.export and cfg.data.get("num_folds") is None
    path = folder / VAL_PREDICTIONS if is_written else None
    return [EpochPredictions(data.val, data.class_names, path)]


def build_user_callbacks(
    parts: Components, model: nn.Module, class_names: Sequence[str]
) -> list[Callable[[Path], Callback]]:
    """Builders of the callbacks in group `callbacks`, to be called with the run directory.

    A target whose signature has `model`, `class_names` or `folder` gets them. A callback without
    `folder` is built here already, before there is a run directory; of the others, the type and the
    arguments are checked here.

    Raises:
        ConfigError: for an object that is not a callback, or arguments that it does not accept.
    """
    return [build_user_callback(parts, name, model, class_names) for name in parts.cfg.callbacks]


def build_user_callback(
    parts: Components, name: Any, model: nn.Module, class_names: Sequence[str]
) -> Callable[[Path], Callback]:
    """The builder of one callback; see `build_user_callbacks`."""
    key = f"callbacks.{name}"
    node = dict(plain(parts.cfg.callbacks[name]))
    offered = offer(node, model=model, class_names=list(class_names))
    wants_folder = bool(offer(node, folder=Path()))
    partial: Any = parts.build(key, **offered, _partial_=True)

    def build(**later: Path) -> Callback:
        found = call_partial(key, partial, **later)
        require_callback(isinstance(found, Callback), key, type(found).__name__)
        return found  # type: ignore[no-any-return]

    if not wants_folder:
        built = build()
        return lambda folder: built
    target = partial.func
    if isinstance(target, type):
        require_callback(issubclass(target, Callback), key, target.__name__)
    try:
        signature(target).bind(*partial.args, **partial.keywords, folder=Path())
    except TypeError as error:
        raise ConfigError(f"{key} cannot be built: {error}") from None
    return lambda folder: build(folder=folder)


def require_callback(ok: bool, key: str, given: str) -> None:
    """Raise the error for `key` unless `ok`; `given` is the type found."""
    rule = "a subclass of pochitrain.engine.callback.Callback"
    require(ok, key, rule, given, "docs/callback.md has an example.")


def tracks_gradients(cfg: DictConfig) -> bool:
    """Whether to track gradients: not if metrics.export, which writes the results, is off."""
    return bool(cfg.gradient_tracking.enabled and cfg.metrics.export)


def build_gradient_tracking(cfg: DictConfig, folder: Path, model: nn.Module) -> GradientTracking:
    """The callback that tracks gradients.

    Raises:
        ConfigError: if its patterns exclude every parameter.
    """
    options: dict[str, Any] = plain(cfg.gradient_tracking)
    options.pop("enabled")
    block_of = find_blocks(name for name, _ in model.named_parameters())
    return GradientTracking(folder / "gradient_trace.csv", model, block_of, **options)


def build_ema(
    cfg: DictConfig,
    folder: Path,
    model: nn.Module,
    val_loader: EpochLoader | None,
    criterion: nn.Module,
    precision: Precision,
    metadata: dict[str, Any],
    stop_request: StopRequest,
    metrics: Sequence[Metric],
    group: ProcessGroup,
) -> WeightEMA | None:
    """The callback that averages the weights; None if `ema_decay` is null.

    Args:
        metadata: entries of every checkpoint of the run.
        stop_request: checked between batches.
        metrics: metrics of the average to compute besides loss and accuracy.
        group: the processes that train together.
    """
    if cfg.ema_decay is None:
        return None
    where = "in the evaluation of the average"

    def validate(averaged: nn.Module) -> Evaluation:
        assert val_loader is not None
        shares, num = val_loader.epoch(0), len(val_loader)
        if group.is_alone:
            batches = stop_request.watch(shares, where)
        else:
            batches = agreed_batches(shares, num, group, stop_request, lambda: where)
        top_k = wanted_top_k(metrics)
        return evaluate(averaged, batches, criterion, precision, top_k, group=group)

    path = folder / "models" / "ema.pth"
    watch = validate if val_loader else None
    return WeightEMA(path, model, cfg.ema_decay, watch, metadata, metrics, group.is_first)


def check_callbacks(cfg: DictConfig, model: nn.Module) -> None:
    """Check the settings of callbacks that need the model, before the run directory is made.

    Raises:
        ConfigError: for a missing package, an unknown colour map, or gradient tracking that
            excludes every parameter.
    """
    if cfg.metrics.tensorboard:
        require_tensorboard()
    if tracks_gradients(cfg):
        build_gradient_tracking(cfg, Path(), model)
    if cfg.metrics.export and cfg.confusion_matrix.cmap != ConfusionMatrixConfig.cmap:
        from pochitrain.report.confusion_matrix import require_colormap  # imports matplotlib

        require_colormap(cfg.confusion_matrix.cmap)
