"""A training run, from the composed config to the files in the run directory."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from pochitrain.callback.progress import ProgressDisplay
from pochitrain.callback.stop import TimeLimit
from pochitrain.config.component import plain
from pochitrain.config.insight import ConfusionMatrixConfig
from pochitrain.config.transform_step import complete_steps
from pochitrain.console import PrintableConsole, open_console
from pochitrain.data.dataset import DataSplits, count_pictures, fingerprint
from pochitrain.engine.callback import Callback
from pochitrain.engine.checkpoint import CheckpointWriter
from pochitrain.engine.device import (
    Precision,
    select_device,
    select_precision,
    set_float32_precision,
)
from pochitrain.engine.interrupt import StopRequest, stop_on_signal
from pochitrain.engine.process_group import ALONE, ProcessGroup, join_group
from pochitrain.engine.state import TrainState
from pochitrain.engine.trainer import Trainer
from pochitrain.ranks import find_ranks
from pochitrain.run.build import RunParts, build_parts
from pochitrain.run.callback import (
    build_callbacks,
    build_ema,
    build_predictions,
    check_callbacks,
)
from pochitrain.run.directory import (
    collect_versions,
    open_run_directory,
    save_config,
    save_metadata,
)
from pochitrain.run.end import report_end
from pochitrain.run.judge import FILES, judge_best, print_judgement
from pochitrain.run.leak import TABLE as LEAK_TABLE
from pochitrain.run.leak import (
    describe_end,
    describe_leaks,
    find_leaks,
    load_leaks,
    save_leaks,
    warn_of_leaks,
)
from pochitrain.run.optimization import step_settings
from pochitrain.run.processes import folder_of, require_same_data, share_model, warn_of_threads
from pochitrain.run.report.report import report_training
from pochitrain.run.resume.find import ResumedRun, find_run
from pochitrain.run.resume.restore import restore
from pochitrain.run.selection import FILE as OPTIMISM
from pochitrain.run.selection import Selection, judge_selection, save_selection
from pochitrain.run.status import lock_run, write_status
from pochitrain.run.strategy import apply_strategy
from pochitrain.run.summary import describe_run, describe_validation, print_end, print_start
from pochitrain.run.tune import refuse_in_sweep, tune
from pochitrain.seed import seed_everything
from pochitrain.strategy.head_gradient import choose_accumulator
from pochitrain.strategy.head_model import HeadOnFeatures
from pochitrain.strategy.thread import threads_for
from pochitrain.threads import limit_threads

PROBE_CHECKPOINT_S = 3.0
"""An epoch on features takes less time than a checkpoint of the complete model."""
TABLES = ("training_metrics.csv", "confusion_matrix.csv", "gradient_trace.csv", LEAK_TABLE)


def train(cfg: DictConfig, warnings: list[str], end_s: float | None = None) -> float | None:
    """Train the model of `cfg` and write the run directory.

    Args:
        cfg: the composed, validated tree. If the time ends the run, it gets `stop_after_epoch`.
        warnings: warnings about the config, to print.
        end_s: when the last epoch must have ended, of `time.monotonic`; None = no limit.

    Returns:
        The monitored metric in the best epoch; None if no epoch gave one.

    Raises:
        ConfigError: for wrong input, mostly before training starts.
        ToldElsewhere: in one of several processes, if another one says why the run ends.
    """
    with join_group(find_ranks()) as group:
        return train_together(cfg, warnings, group, end_s)


def train_together(
    cfg: DictConfig, warnings: list[str], group: ProcessGroup, end_s: float | None
) -> float | None:
    """`train`, in one process or in each of several."""
    console = open_console()
    resumed = group.from_first(lambda: find_run(cfg, warnings, console))
    if resumed is not None:
        if resumed.is_done:
            group.part_ways()
            return resumed.best_value
        cfg, warnings = resumed.cfg, resumed.warnings
    if cfg.tune == "auto":
        refuse_in_sweep()
    device = select_device(cfg.device, group.ranks)
    group.use(device)
    precision = select_precision(precision_name(cfg, resumed), device)
    set_backends(cfg, precision.device)
    seed_everything(cfg.seed)
    parts = build_parts(cfg, precision, ranks=group.ranks)  # finds wrong input, before writing
    share_model(cfg, parts.state.model, group)
    check_callbacks(cfg, parts.state.model)
    tuned: dict[str, Any] = {}
    if cfg.tune == "auto" and resumed is None:
        parts, tuned = tune(cfg, parts, console)

    looks = resumed is None and group.is_first
    leaks = find_leaks(parts.data, in_search=cfg.optuna.enabled) if looks else None
    folder = group.from_first(
        lambda: open_run_directory(cfg) if resumed is None else resumed.open_directory()
    )
    rows = describe_run(cfg, parts, folder, group.ranks) | describe_leaks(leaks)
    num_parameters = sum(parameter.numel() for parameter in parts.state.model.parameters())
    leak_warnings = warn_of_leaks(leaks, parts.data) + warn_of_threads(device, group)
    print_warnings(console, [*warnings, *precision.warnings, *parts.data.warnings, *leak_warnings])
    print_start(console, rows, parts.data)

    request = StopRequest()
    with (
        lock_run(folder) if group.is_first else nullcontext(),
        folder_of(group, folder) as scratch,
    ):
        is_resumed = resumed is not None and resumed.checkpoint is not None
        save_leaks(folder, leaks, parts.data)
        is_saved = apply_strategy(cfg, parts, folder, console, request, is_resumed)
        loader = parts.train_loader
        progress = ProgressDisplay(console, len(loader), loader.num_samples)
        limit = None if end_s is None else TimeLimit(end_s)
        last = [progress] if limit is None else [progress, limit]
        trainer = build_trainer(cfg, parts, folder, last, request, group, scratch)
        require_same_data(trainer.checkpoints.metadata["data"], group)
        if resumed is not None:
            restore(resumed, trainer, parts.data)
        with (
            report_end(folder, cfg, trainer.state, request, group.ranks),
            stop_on_signal(request, announce=group.is_first),
        ):
            if group.is_first:
                if not is_saved:
                    save_config(folder, cfg)
                save_metadata(
                    folder,
                    {
                        "device": rows["device"],
                        "seed": cfg.seed,
                        "tune": tuned,
                        "parameters": num_parameters,
                        "input_size": trainer.checkpoints.metadata["input_size"],
                        "data": count_pictures(parts.data),
                    },
                )
            try:
                with threads_for(parts.state.model, loader.batches.batch_size):
                    state = trainer.fit()
            finally:
                progress.close()
                parts.close_loaders()
            group.part_ways()
            if not group.is_first:  # what is left is done by one
                return None if state.best is None else state.best.value
            request.end_of_training()
            if limit is not None and limit.stopped_after is not None:
                cfg.stop_after_epoch = limit.stopped_after  # to repeat the run without the clock
                save_config(folder, cfg)
            tested = judge_best(cfg, parts.data, state, folder)
            selection = judge_selection(state, trainer.callbacks, parts.metrics, trainer.left_out)
            finish(cfg, console, state, folder, selection)
            print_judgement(console, cfg, parts.data, tested)
            write_status(folder, "finished", state)
        if has_page(cfg):
            report_training(folder, parts.data, console)
    return None if state.best is None else state.best.value


def build_trainer(
    cfg: DictConfig,
    parts: RunParts,
    folder: Path,
    last_callbacks: Sequence[Callback],
    stop_request: StopRequest,
    group: ProcessGroup = ALONE,
    scratch: Path | None = None,
) -> Trainer:
    """Connect the parts; files are written below `folder`, by the first process of `group`.

    Args:
        last_callbacks: of the first process, after those of the config.
        scratch: where the user's callbacks write instead.
    """
    state, data, precision = parts.state, parts.data, parts.precision
    size = tuple((parts.val_loader or parts.train_loader).sample(1).shape[2:])
    writer = build_checkpoint_writer(cfg, folder, data, precision, size)
    writer.writes = group.is_first
    if isinstance(state.model, HeadOnFeatures):
        writer.least_s = PROBE_CHECKPOINT_S
        writer.frozen = state.model.frozen_tensors()
    ema = build_ema(
        cfg,
        folder,
        state.model,
        parts.val_loader,
        parts.criterion,
        precision,
        writer.metadata,
        stop_request,
        parts.metrics,
        group,
    )
    callbacks: list[Callback] = [
        *build_callbacks(
            cfg,
            folder,
            state.model,
            data.class_names,
            ema,
            [build(scratch or folder) for build in parts.user_callbacks],
            parts.metrics,
            group.is_first,
        ),
        *([*build_predictions(cfg, folder, data), *last_callbacks] if group.is_first else []),
    ]
    return Trainer(
        state,
        parts.train_loader,
        parts.val_loader,
        parts.criterion,
        precision,
        callbacks,
        writer,
        **step_settings(cfg),
        stop_request=stop_request,
        metrics=parts.metrics,
        accumulator=choose_accumulator(state, parts.criterion, precision),
        left_out=group.from_first(lambda: load_leaks(folder, data)),
        group=group,
    )


def print_warnings(console: PrintableConsole, warnings: list[str]) -> None:
    for warning in warnings:
        console.warn(f"Warning: {warning}")


def finish(
    cfg: DictConfig,
    console: PrintableConsole,
    state: TrainState,
    folder: Path,
    selection: Selection | None,
) -> None:
    """Draw the graphs and print the summary at the end. May be repeated by a resumed run."""
    if cfg.metrics.export:
        save_selection(folder, selection)
    wanted = cfg.metrics.export and (cfg.optuna.graphs or not cfg.optuna.enabled)
    graphs = draw_graphs(cfg, folder) if wanted else []
    files = [folder / "models" / name for name in ("best.pth", "last.pth", "ema.pth")]
    files += (
        [folder / name for name in (*TABLES, *FILES, OPTIMISM)] + graphs + [folder / "tensorboard"]
    )
    files += [folder / "config.yaml", folder / "environment.json"]
    trust = describe_validation(state, cfg.data.get("group_by") is not None, selection)
    print_end(console, state, folder, files, describe_end(state), trust)


def has_page(cfg: DictConfig) -> bool:
    """Whether this run makes report.html: not as a trial of a search, nor without its tables."""
    return bool(cfg.report.html and cfg.metrics.export and not cfg.optuna.enabled)


def precision_name(cfg: DictConfig, resumed: ResumedRun | None) -> str:
    """`cfg.precision`; for `auto`, a resumed run keeps the precision that it started with."""
    if cfg.precision != "auto" or resumed is None or resumed.checkpoint is None:
        return str(cfg.precision)
    return str(resumed.checkpoint["precision"])


def draw_graphs(cfg: DictConfig, folder: Path) -> list[Path]:
    """Draw the graphs of the run from its CSV files; returns the files written."""
    from pochitrain.report.run import draw_run  # imports pandas and matplotlib

    style = ConfusionMatrixConfig(**plain(cfg.confusion_matrix))
    return draw_run(folder, style, log_rates=cfg.layer_wise_lr.graph_config.use_log_scale)


def set_backends(cfg: DictConfig, device: torch.device) -> None:
    """Set threads, cudnn, TF32 and determinism for the whole process."""
    limit_threads()
    torch.backends.cudnn.benchmark = cfg.cudnn_benchmark
    torch.use_deterministic_algorithms(cfg.deterministic, warn_only=True)
    torch.backends.cudnn.deterministic = cfg.deterministic
    set_float32_precision(device, cfg.deterministic)


def build_checkpoint_writer(
    cfg: DictConfig,
    folder: Path,
    data: DataSplits,
    precision: Precision,
    input_size: tuple[int, ...],
) -> CheckpointWriter:
    """The writer of the checkpoints, with the metadata that inference needs."""
    transform, mean = plain(cfg.transform), plain(cfg.mean)
    metadata = {
        "class_names": data.class_names,
        "transforms": {
            split: [node for _, node in complete_steps(transform, split, mean)]
            for split in ("train", "val")
        },
        "config": plain(cfg),
        "versions": collect_versions(),
        "precision": precision.name,
        "input_size": list(input_size),  # height and width, for the pixel limit of inference
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
