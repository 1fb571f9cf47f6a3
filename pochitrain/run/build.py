"""Builds the parts of a training run and tries them out before anything is written."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn

from pochitrain.config.component import Components, plain
from pochitrain.config.root import validate
from pochitrain.config.signature import offer
from pochitrain.config.strategy import PROBE, WITH_FEATURES, strategy_name
from pochitrain.config.transform_step import complete_steps
from pochitrain.data.dataset import (
    DataSplits,
    ImageDataset,
    require_one_size,
    require_splits,
    weights_of,
)
from pochitrain.data.loader import BatchTransform, EpochLoader, build_loader
from pochitrain.data.sampler import check_accumulation
from pochitrain.engine.callback import Callback
from pochitrain.engine.device import Precision
from pochitrain.engine.state import RunningMetrics, TrainState
from pochitrain.error import ConfigError
from pochitrain.loss.criterion import build_criterion
from pochitrain.metric.metric import Metric
from pochitrain.model.head import SplitModel, split_head
from pochitrain.model.smoke_test import smoke_test
from pochitrain.ranks import Ranks
from pochitrain.run.callback import build_user_callbacks
from pochitrain.run.metric import build_metrics, choose_monitor
from pochitrain.run.optimization import build_optimization, group_parameters
from pochitrain.run.rates import fill_default_decay, with_placeholders
from pochitrain.run.resolve import has_auto, resolve_auto, warn_of_crop
from pochitrain.seed import derive_seed, seeded_cpu
from pochitrain.strategy.head_model import HeadOnFeatures
from pochitrain.transform.batch_mix import try_batch_transform
from pochitrain.transform.pipeline import build_pipeline, try_pipeline

FEATURE_BATCH = {"cpu": 32}
FEATURE_BATCH_ELSEWHERE = 128
"""Images that the backbone gets at once; fixed, so that runs of any batch size share features."""


@dataclass
class RunParts:
    """The objects that a run trains with, apart from its files."""

    data: DataSplits
    train_loader: EpochLoader
    val_loader: EpochLoader | None
    criterion: nn.Module
    precision: Precision
    state: TrainState
    user_callbacks: list[Callable[[Path], Callback]]
    """Builders of the user's callbacks, to be called with the run directory."""
    metrics: list[Metric]
    """Metrics that validation computes besides loss and accuracy."""
    components: Components
    """Builds what the config describes."""
    pipelines: dict[str, Any]
    """Split -> transform of its images."""
    backbone: SplitModel | None
    """The model as backbone and last layer, where the strategy needs that."""
    chosen: dict[str, str]
    """What was `auto` in the config: label -> the value chosen and why, for the person."""

    def close_loaders(self) -> None:
        """End the loader processes at once."""
        for loader in (self.train_loader, self.val_loader):
            if loader is not None:
                loader.close()


def build_parts(
    cfg: DictConfig,
    precision: Precision,
    data: DataSplits | None = None,
    ranks: Ranks | None = None,
) -> RunParts:
    """Build every part on the device of `precision`, and try them together.

    What is `auto` in `cfg` gets a value that suits the data.

    Args:
        data: used in place of what the config describes.
        ranks: of the processes that share each batch.

    Raises:
        ConfigError: for anything that would make training fail.
    """
    if strategy_name(cfg) == PROBE:
        fill_default_decay(cfg)
    parts, device = Components(cfg), precision.device
    parts.check()
    chosen = {}
    if has_auto(cfg):
        data = data or require_splits(parts.build_data())
        chosen = resolve_auto(cfg, data)
    pipelines, keep_size = build_pipelines(parts)
    data = data or require_splits(parts.build_data())
    check_without_validation(cfg, data)
    data.warnings += warn_of_crop(cfg, data)
    check_sizes(cfg, data, keep_size)
    check_num_classes(cfg, data)
    counts = data.count_per_class(data.train)
    mixes = cfg.transform.get("batch") is not None
    is_weighted = weights_of(data.train) is not None
    criterion = build_criterion(parts, counts, soft_labels=mixes, sample_weights=is_weighted)
    train_loader, val_loader = build_loaders(parts, data, pipelines, device, ranks)
    check_accumulation(cfg.gradient_accumulation, len(train_loader))
    metrics = [] if data.val is None else build_metrics(parts, len(data.class_names))
    model = build_model(parts, data, device)
    backbone = split_head(model) if strategy_name(cfg) in WITH_FEATURES else None
    smallest = min(2, *(stop - start for start, stop in train_loader.batches.bounds()))
    tried = describe_trial(cfg, data, smallest)
    if tried not in TRIED:
        try_on_data(cfg, model, data, precision, train_loader, val_loader, smallest)
        if backbone is not None:
            with precision.autocast():
                backbone.features((val_loader or train_loader).sample(1))
        TRIED.add(tried)
    state = build_state(parts, data, model, backbone, precision, metrics)
    user_callbacks = build_user_callbacks(parts, state.model, data.class_names)
    return RunParts(
        data,
        train_loader,
        val_loader,
        criterion.to(device),
        precision,
        state,
        user_callbacks,
        metrics,
        parts,
        pipelines,
        backbone,
        chosen,
    )


def build_pipelines(parts: Components) -> tuple[dict[str, Any], list[str]]:
    """(split -> pipeline, splits whose pipeline keeps image sizes), each pipeline tried once."""
    pipelines, keep_size = {}, []
    for split in ("train", "val"):
        key = f"transform.{split}"
        nodes = complete_steps(plain(parts.cfg.transform), split, plain(parts.cfg.mean))
        pipelines[split] = build_pipeline([parts.build(*step) for step in nodes])
        if not try_pipeline(pipelines[split], key):
            keep_size.append(split)
    return pipelines, keep_size


def check_sizes(cfg: DictConfig, data: DataSplits, keep_size: list[str]) -> None:
    """Refuse images of different sizes in the splits `keep_size`, whose pipeline keeps sizes."""
    for split in keep_size:
        dataset = data.train if split == "train" else data.val
        if dataset is not None:
            require_one_size(dataset, f"transform.{split}")
    unaugmented = strategy_name(cfg) in WITH_FEATURES and cfg.strategy.views == 0
    if unaugmented and "val" in keep_size and "train" not in keep_size:
        require_one_size(data.train, "transform.val")


def check_without_validation(cfg: DictConfig, data: DataSplits) -> None:
    """Refuse what needs validation images, where the column of splits gives none.

    Raises:
        ConfigError: as `validate`, which could not know that.
    """
    if data.val is None and cfg.data.get("split_column") is not None:
        known = cfg.copy()
        known.data.split_column = None
        validate(known)


def check_num_classes(cfg: DictConfig, data: DataSplits) -> None:
    """Refuse a model.num_classes that differs from the number of classes in the data."""
    given = cfg.model.get("num_classes")
    if given is not None and given != len(data.class_names):
        raise ConfigError(
            f"model.num_classes must be the number of classes in the data "
            f"({len(data.class_names)}: {', '.join(data.class_names[:20])}), got {given}. "
            "Leave it null to take it from the data."
        )


def build_loaders(
    parts: Components,
    data: DataSplits,
    pipelines: dict[str, Any],
    device: torch.device,
    ranks: Ranks | None = None,
) -> tuple[EpochLoader, EpochLoader | None]:
    """Loaders of the training and the validation split; None without validation.

    With strategy=probe, of the images in order, as the backbone gets them.
    """
    if strategy_name(parts.cfg) == PROBE:
        transform = "train" if parts.cfg.strategy.views else "val"
        train_loader = build_in_order(parts, data.train, pipelines, transform, device)
        if data.val is None:
            return train_loader, None
        return train_loader, build_in_order(parts, data.val, pipelines, "val", device)
    options = parts.loader_settings()
    infer_pin_memory = options.pop("infer_pin_memory", None)
    cfg = parts.cfg
    shared = {**options, "seed": cfg.seed, "device": device, "channels_last": cfg.channels_last}
    shared["ranks"] = ranks
    train_loader = build_loader(
        data.train,
        pipelines["train"],
        shuffle=True,
        batch_transform=build_batch_transform(parts, len(data.class_names)),
        **shared,
    )
    if data.val is None:
        return train_loader, None
    shared["balanced_sampling"] = False
    if infer_pin_memory is not None:
        shared["pin_memory"] = infer_pin_memory
    val_loader = build_loader(data.val, pipelines["val"], shuffle=False, **shared)
    return train_loader, val_loader


def build_in_order(
    parts: Components,
    dataset: ImageDataset,
    pipelines: dict[str, Any],
    transform: str,
    device: torch.device,
) -> EpochLoader:
    """The loader of images for the backbone.

    Args:
        transform: `train` or `val`.
    """
    options = parts.loader_settings()
    options.pop("infer_pin_memory", None)
    options["batch_size"] = FEATURE_BATCH.get(device.type, FEATURE_BATCH_ELSEWHERE)
    options["balanced_sampling"] = False
    return build_loader(
        dataset,
        pipelines[transform],
        shuffle=False,
        seed=parts.cfg.seed,
        device=device,
        channels_last=parts.cfg.channels_last,
        key=f"transform.{transform}",
        **options,
    )


def build_batch_transform(parts: Components, num_classes: int) -> BatchTransform | None:
    """The batch transform (mixup, ...), tried once; None if the config has none."""
    node = parts.cfg.transform.get("batch")
    if node is None:
        return None
    transform: nn.Module = parts.build("transform.batch", **offer(node, num_classes=num_classes))
    try:
        with seeded_cpu(0, "trial"):
            try_batch_transform(transform, num_classes)
    except Exception as error:
        raise ConfigError(f"transform.batch fails on two pictures of 8 x 8 px: {error}") from error
    return transform


def build_model(parts: Components, data: DataSplits, device: torch.device) -> nn.Module:
    """The model on the device; its random weights depend on the seed only."""
    cfg = parts.cfg
    torch.manual_seed(derive_seed(cfg.seed, "model"))
    model: nn.Module = parts.build("model", num_classes=len(data.class_names))
    memory_format = torch.channels_last if cfg.channels_last else torch.contiguous_format
    model = model.to(device, memory_format=memory_format)  # type: ignore[call-overload]
    if cfg.compile:
        model.compile()
    return model


def build_state(
    parts: Components,
    data: DataSplits,
    model: nn.Module,
    backbone: SplitModel | None,
    precision: Precision,
    metrics: list[Metric],
) -> TrainState:
    """The state at the start, with optimizer and scheduler.

    With strategy=probe, only the last layer is trained, and given features.
    """
    cfg = parts.cfg
    if backbone is not None and strategy_name(cfg) == PROBE:
        model = HeadOnFeatures(backbone)
        cfg = with_placeholders(cfg)
        parts = Components(cfg, parts.allowed)
    optimizer, scheduler = build_optimization(parts, group_parameters(cfg, model))
    return TrainState(
        model,
        optimizer,
        scheduler,
        precision.scaler,
        choose_monitor(cfg, data.val is not None, metrics),
        cfg.epochs,
        RunningMetrics(precision.device),
    )


TRIED: set[str] = set()
"""What was tried in this process: the trials of a search hardly differ in what counts."""


def describe_trial(cfg: DictConfig, data: DataSplits, smallest: int) -> str:
    """What decides whether a model works on the images."""
    first = [split and split.name(0) for split in (data.train, data.val)]
    nodes = [plain(cfg[key]) for key in ("model", "transform", "data", "mean", "std")]
    rest = [strategy_name(cfg), cfg.precision, cfg.device, cfg.compile, cfg.channels_last]
    return repr([nodes, rest, data.class_names, first, smallest])


def try_on_data(
    cfg: DictConfig,
    model: nn.Module,
    data: DataSplits,
    precision: Precision,
    train_loader: EpochLoader,
    val_loader: EpochLoader | None,
    smallest: int,
) -> None:
    """Run the model once on a small training batch and on a validation image.

    Args:
        smallest: number of images in the training batch.

    Raises:
        ConfigError: if it fails on them.
    """
    frozen = cfg.model.get("freeze") is True or strategy_name(cfg) == PROBE
    learns = not frozen  # else batch norm stays in evaluation mode
    trials = [(train_loader, smallest, learns), (val_loader, 1, False)]
    for loader, num_images, training in trials:
        if loader is not None:
            with precision.autocast():
                images = loader.sample(num_images)
                smoke_test(model, images, len(data.class_names), training=training)
