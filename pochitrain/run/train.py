"""A training run, from the composed config to the files in the run directory."""

from pathlib import Path
from typing import Any, Literal

import torch
from omegaconf import DictConfig
from rich.console import Console
from torch import nn

from pochitrain.callback.progress import ProgressDisplay
from pochitrain.config.component import Components, plain
from pochitrain.config.confusion_matrix import ConfusionMatrixConfig
from pochitrain.data.dataset import DataSplits, fingerprint, require_one_size
from pochitrain.data.loader import BatchTransform, EpochLoader, build_loader
from pochitrain.engine.callback import Callback
from pochitrain.engine.checkpoint import CheckpointWriter
from pochitrain.engine.device import Precision, select_device, select_precision
from pochitrain.engine.fault import FaultPolicy
from pochitrain.engine.interrupt import StopRequest, stop_on_signal
from pochitrain.engine.state import Monitor, RunningMetrics, TrainState
from pochitrain.engine.trainer import Trainer
from pochitrain.error import ConfigError
from pochitrain.model.block import find_blocks
from pochitrain.model.smoke_test import smoke_test
from pochitrain.optimizer.layer_wise_lr import (
    RateRule,
    assign_rates,
    build_parameter_groups,
    decay_rates,
)
from pochitrain.run.callback import (
    build_callbacks,
    build_ema,
    build_user_callbacks,
    check_callbacks,
)
from pochitrain.run.directory import collect_versions, open_run_directory, save_metadata
from pochitrain.run.resume import ResumedRun, find_run, reopen, report_end, restore
from pochitrain.run.status import lock_run, write_status
from pochitrain.run.summary import describe_classes, describe_weights, print_end, print_start
from pochitrain.scheduler.warm_up import WarmUp
from pochitrain.seed import derive_seed, seed_everything, seeded_cpu
from pochitrain.transform.batch_mix import try_batch_transform
from pochitrain.transform.pipeline import build_pipeline, try_pipeline

TABLES = ("training_metrics.csv", "confusion_matrix.csv", "gradient_trace.csv")


def train(cfg: DictConfig, warnings: list[str]) -> float | None:
    """Train as `cfg` says and write the run directory.

    Args:
        cfg: the composed, validated tree.
        warnings: warnings to show.

    Returns:
        The monitored metric in the best epoch; None if no epoch gave one.

    Raises:
        ConfigError: before any training, for input that cannot work.
    """
    console = Console(highlight=False, soft_wrap=True)
    continued = find_run(cfg, warnings, console)
    if continued is not None:
        if continued.is_done:
            return continued.best_value
        cfg, warnings = continued.cfg, continued.warnings
    parts = Components(cfg)
    device = select_device(cfg.device)
    precision = select_precision(precision_name(cfg, continued), device)
    set_backends(cfg)
    seed_everything(cfg.seed)

    pipelines, keep_size = build_pipelines(parts)
    data: DataSplits = parts.build_data()
    check_sizes(data, keep_size)
    check_num_classes(cfg, data)
    criterion = parts.build("loss", num_images_per_class=data.count_per_class(data.train))
    train_loader, val_loader = build_loaders(parts, data, pipelines, device)
    state = build_state(parts, data, device, precision)
    try_on_data(cfg, state.model, data, precision, train_loader, val_loader)
    user_callbacks = build_user_callbacks(parts)
    check_callbacks(cfg, state.model)

    folder = open_run_directory(cfg) if continued is None else reopen(continued)
    rows = describe_run(cfg, data, state.model, precision, folder)
    rows["loss"] = describe_weights(criterion, data.class_names)
    rows |= describe_cache(train_loader, val_loader)
    for note in [*warnings, *precision.warnings, *data.warnings]:
        console.print(f"Warning: {note}", style="yellow", markup=False)
    print_start(console, rows, data)

    progress = ProgressDisplay(console, len(train_loader), train_loader.num_samples)
    criterion = criterion.to(device)
    writer = checkpoint_writer(cfg, folder, data, precision)
    stop_request = StopRequest()
    ema = build_ema(
        cfg, folder, state.model, val_loader, criterion, precision, writer.metadata, stop_request
    )
    callbacks: list[Callback] = [
        *build_callbacks(cfg, folder, state.model, data.class_names, ema, user_callbacks),
        progress,
    ]
    trainer = Trainer(
        state,
        train_loader,
        val_loader,
        criterion,
        precision,
        callbacks,
        writer,
        gradient_accumulation=cfg.gradient_accumulation,
        gradient_clip_norm=cfg.gradient_clip_norm,
        faults=FaultPolicy(cfg.fault.nonfinite, cfg.fault.out_of_memory),
        stop_request=stop_request,
    )
    with lock_run(folder):
        if continued is not None:
            restore(continued, trainer, data)
        with report_end(folder, cfg, trainer), stop_on_signal(stop_request):
            save_metadata(folder, cfg, {"device": rows["device"], "seed": cfg.seed})
            try:
                trainer.fit()
            finally:
                progress.close()
                for loader in (train_loader, val_loader):
                    if loader is not None:
                        loader.close()
            stop_request.end_of_training()
            finish(cfg, console, state, folder)
            write_status(folder, "finished", state)
    return None if state.best is None else state.best.value


def finish(cfg: DictConfig, console: Console, state: TrainState, folder: Path) -> None:
    """Graphs and the closing summary; may be repeated."""
    wanted = cfg.metrics.export and (cfg.optuna.graphs or not cfg.optuna.enabled)
    graphs = draw_graphs(cfg, folder) if wanted else []
    files = [folder / "models" / name for name in ("best.pth", "last.pth", "ema.pth")]
    files += [folder / name for name in TABLES] + graphs + [folder / "tensorboard"]
    print_end(console, state, folder, [*files, folder / "config.yaml", folder / "environment.json"])


def precision_name(cfg: DictConfig, continued: ResumedRun | None) -> str:
    """auto means what it meant when the run began, also on another device."""
    if cfg.precision != "auto" or continued is None or continued.checkpoint is None:
        return str(cfg.precision)
    return str(continued.checkpoint["precision"])


def draw_graphs(cfg: DictConfig, folder: Path) -> list[Path]:
    from pochitrain.report.run import draw_run  # pandas and matplotlib can wait until here

    style = ConfusionMatrixConfig(**plain(cfg.confusion_matrix))
    return draw_run(folder, style, log_rates=cfg.layer_wise_lr.graph_config.use_log_scale)


def set_backends(cfg: DictConfig) -> None:
    torch.backends.cudnn.benchmark = cfg.cudnn_benchmark
    torch.use_deterministic_algorithms(cfg.deterministic, warn_only=True)
    torch.backends.cudnn.deterministic = cfg.deterministic


def build_pipelines(parts: Components) -> tuple[dict[str, Any], list[str]]:
    """The training and validation pipelines, each tried once; and those that keep sizes as is."""
    pipelines, keep_size = {}, []
    for split in ("train", "val"):
        key = f"transform.{split}"
        nodes = parts.cfg.transform[split]
        steps = [parts.build(f"{key}[{i}]", node) for i, node in enumerate(nodes)]
        pipelines[split] = build_pipeline(steps)
        if not try_pipeline(pipelines[split], key):
            keep_size.append(split)
    return pipelines, keep_size


def check_sizes(data: DataSplits, keep_size: list[str]) -> None:
    for split in keep_size:
        dataset = data.train if split == "train" else data.val
        if dataset is not None:
            require_one_size(dataset, f"transform.{split}")


def check_num_classes(cfg: DictConfig, data: DataSplits) -> None:
    given = cfg.model.get("num_classes")
    if given is not None and given != len(data.class_names):
        raise ConfigError(
            f"model.num_classes must be the number of classes in the data "
            f"({len(data.class_names)}: {', '.join(data.class_names[:20])}), got {given}. "
            "Leave it null to take it from the data."
        )


def build_loaders(
    parts: Components, data: DataSplits, pipelines: dict[str, Any], device: torch.device
) -> tuple[EpochLoader, EpochLoader | None]:
    options = parts.loader_settings()
    infer_pin_memory = options.pop("infer_pin_memory", None)
    cfg = parts.cfg
    shared = {**options, "seed": cfg.seed, "device": device, "channels_last": cfg.channels_last}
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


def build_batch_transform(parts: Components, num_classes: int) -> BatchTransform | None:
    """mixup and its like, tried once."""
    if parts.cfg.transform.batch is None:
        return None
    transform: nn.Module = parts.build("transform.batch", num_classes=num_classes)
    try:
        with seeded_cpu(0, "trial"):
            try_batch_transform(transform, num_classes)
    except Exception as error:
        raise ConfigError(f"transform.batch fails on two pictures of 8 x 8 px: {error}") from error
    return transform


def build_state(
    parts: Components, data: DataSplits, device: torch.device, precision: Precision
) -> TrainState:
    """Model, optimizer and scheduler, on the device."""
    cfg = parts.cfg
    torch.manual_seed(derive_seed(cfg.seed, "model"))
    model: nn.Module = parts.build("model", num_classes=len(data.class_names))
    memory_format = torch.channels_last if cfg.channels_last else torch.contiguous_format
    model = model.to(device, memory_format=memory_format)  # type: ignore[call-overload]
    if cfg.compile:
        model.compile()
    optimizer = parts.complete("optimizer", group_parameters(cfg, model))
    scheduler = parts.complete("scheduler", optimizer)
    if cfg.warmup_epochs:
        scheduler = WarmUp(scheduler, cfg.warmup_epochs, cfg.warmup_start_factor)
    return TrainState(
        model,
        optimizer,
        scheduler,
        precision.scaler,
        choose_monitor(cfg, data),
        cfg.epochs,
        RunningMetrics(device),
    )


def try_on_data(
    cfg: DictConfig,
    model: nn.Module,
    data: DataSplits,
    precision: Precision,
    train_loader: EpochLoader,
    val_loader: EpochLoader | None,
) -> None:
    """Run the model once on a small training batch and on a validation image."""
    smallest = min(2, *(stop - start for start, stop in train_loader.batches.bounds()))
    learns = cfg.model.get("freeze") is not True  # frozen for good, batch norm needs no batch
    trials = [(train_loader, smallest, learns), (val_loader, 1, False)]
    for loader, num_images, training in trials:
        if loader is not None:
            with precision.autocast():
                images = loader.sample(num_images)
                smoke_test(model, images, len(data.class_names), training=training)


def group_parameters(cfg: DictConfig, model: nn.Module) -> list[dict[str, Any]]:
    """What the optimizer gets: the parameters with their learning rates."""
    no_decay = cfg.layer_wise_lr.no_weight_decay_on_bias_and_norm
    return build_parameter_groups(find_rate_rules(cfg, model), no_decay)


def find_rate_rules(cfg: DictConfig, model: nn.Module) -> list[RateRule]:
    """The rules of group `layer_wise_lr`; one for all parameters where it is off."""
    node, rate = cfg.layer_wise_lr, cfg.optimizer.get("lr", cfg.learning_rate)
    named = list(model.named_parameters())
    if not node.enabled:
        return [RateRule(None, rate, named)]
    if node.decay is not None:
        return decay_rates(named, find_blocks(name for name, _ in named), node.decay, rate)
    return assign_rates(named, plain(node.layer_rates), rate)


def choose_monitor(cfg: DictConfig, data: DataSplits) -> Monitor:
    """What the search or early stopping watches, else val_accuracy; without validation train_loss.

    A search comes first: its trials must be comparable.
    """
    if data.val is None:
        return Monitor("train_loss")
    watched: Literal["val_accuracy", "val_loss"] = "val_accuracy"
    if cfg.optuna.enabled:
        watched = "val_loss" if cfg.optuna.direction == "minimize" else "val_accuracy"
    elif cfg.early_stopping.enabled and cfg.early_stopping.monitor == "val_loss":
        watched = "val_loss"
    return Monitor(watched)


def checkpoint_writer(
    cfg: DictConfig, folder: Path, data: DataSplits, precision: Precision
) -> CheckpointWriter:
    metadata = {
        "class_names": data.class_names,
        "transforms": {split: plain(cfg.transform[split]) for split in ("train", "val")},
        "config": plain(cfg),
        "versions": collect_versions(),
        "precision": precision.name,
        "data": fingerprint(data),
    }
    node = cfg.checkpoint
    return CheckpointWriter(
        folder / "models",
        metadata,
        node.every_epochs,
        node.every_steps,
        node.every_minutes,
        node.keep_last,
        node.in_background,
    )


def describe_run(
    cfg: DictConfig, data: DataSplits, model: nn.Module, precision: Precision, folder: Path
) -> dict[str, str]:
    """Rows of the start-up summary."""
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    num_val = 0 if data.val is None else len(data.val)
    device = str(precision.device)
    if precision.device.type == "cuda":
        device += f" ({torch.cuda.get_device_name(precision.device)})"
    rate = f"{cfg.optimizer.get('lr', cfg.learning_rate):g}"
    return {
        "data": f"{len(data.train):,} training, {num_val:,} validation pictures",
        "classes": describe_classes(data),
        "model": f"{cfg.model.get('name', type(model).__name__)}, {num_parameters:,} parameters",
        "training": (
            f"{cfg.epochs} epoch{'s' * (cfg.epochs > 1)}, "
            f"batches of {cfg.data.get('batch_size', cfg.batch_size)}, "
            f"{type_name(cfg.optimizer)} at {rate}, {type_name(cfg.scheduler)}"
        ),
        "device": f"{device}, {precision.name}",
        "run": str(folder),
    }


def describe_cache(train_loader: EpochLoader, val_loader: EpochLoader | None) -> dict[str, str]:
    """A row on the decoded pictures that are kept; none where there is nothing to say."""
    notes = {
        "training": train_loader.cache_note,
        "validation": val_loader and val_loader.cache_note,
    }
    text = ", ".join(f"{split} {note}" for split, note in notes.items() if note)
    return {"cache": text} if text else {}


def type_name(node: DictConfig) -> str:
    return str(node["_target_"]).rpartition(".")[2]
