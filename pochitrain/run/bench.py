"""`pochi bench`: how fast the loader, the training step and both together are."""

import shlex
import statistics
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from omegaconf import DictConfig

from pochitrain.command import typed_command
from pochitrain.config.strategy import BUDGET, PROBE, strategy_name
from pochitrain.console import PrintableConsole, open_console
from pochitrain.engine.device import Precision, select_device, select_precision
from pochitrain.error import ConfigError, require
from pochitrain.manner import print_json
from pochitrain.run.build import RunParts, build_parts
from pochitrain.run.callback import check_callbacks
from pochitrain.run.measure import Workbench, in_turns, median_ratio
from pochitrain.run.summary import describe_step
from pochitrain.run.train import print_warnings, set_backends
from pochitrain.seed import seed_everything
from pochitrain.threads import num_cores

BLOCK_S = 0.5
"""A block of the training step takes about so many seconds."""
ENOUGH = 0.95
"""From this part of the speed of the step alone on, the data path is no bottleneck."""


@dataclass
class BenchResult:
    """Images per second, and what they mean."""

    loader: float
    """From files to batches on the device, while nothing is computed."""
    model: float
    """Forward, loss, backward and optimizer step on a batch that is there."""
    end_to_end: float
    """The training loop."""
    ratio: float
    """End to end / model, the median of the rounds."""
    rounds: int
    images_per_batch: int
    side_px: list[int]
    """Height and width."""
    device: str
    precision: str
    threads: int
    num_workers: int
    cache: str
    step: str
    bottleneck: str = ""
    """model or loader."""
    suggestions: list[str] = field(default_factory=list)
    """Settings that would help, most likely first."""


def bench(cfg: DictConfig, warnings: list[str], seconds: float) -> None:
    """Measure the training of `cfg` for about `seconds`, and print the result.

    Makes no run directory and keeps no decoded images.

    Raises:
        ConfigError: for what training would refuse.
    """
    if cfg.resume is not None:
        raise ConfigError(
            f"pochi bench measures a new run, got resume={cfg.resume}. Leave it out, or train."
        )
    name = strategy_name(cfg)
    remedy = "A step on features takes milliseconds; strategy=budget measures by itself."
    rule = "a strategy that trains all layers"
    require(name not in (PROBE, BUDGET), "strategy.name", rule, name, remedy)
    precision = select_precision(cfg.precision, select_device(cfg.device))
    set_backends(cfg, precision.device)
    seed_everything(cfg.seed)
    if cfg.data.get("cache", "off") not in ("off", "False"):
        cfg.data.cache = "read"
    parts = build_parts(cfg, precision)
    check_callbacks(cfg, parts.state.model)
    try:
        result = measure(cfg, parts, seconds)
    finally:
        parts.close_loaders()
    result.bottleneck = "model" if result.ratio >= ENOUGH else "loader"
    result.suggestions = suggest(cfg, parts.precision, result)
    print_json({**asdict(result), "warnings": warnings})
    console = open_console()
    print_warnings(console, [*warnings, *precision.warnings, *parts.data.warnings])
    print_result(console, result)


def measure(cfg: DictConfig, parts: RunParts, seconds: float) -> BenchResult:
    """Run the three sides by turns."""
    with tempfile.TemporaryDirectory() as folder:
        work = Workbench(cfg, parts, Path(folder))
        try:
            work.compute(1)  # chooses kernels, allocates memory
            one = work.compute(1)
            work.train(1)
            per_block = max(1, min(50, round(BLOCK_S / one)))
            sides = {
                "model": lambda: work.compute(per_block),
                "loader": lambda: work.load(per_block),
                "end_to_end": lambda: work.train(per_block),
            }
            found = in_turns(sides, seconds=seconds)
        finally:
            work.close()
    images = work.batch.images
    speed = {
        name: len(images) * per_block / statistics.median(times) for name, times in found.items()
    }
    return BenchResult(
        loader=speed["loader"],
        model=speed["model"],
        end_to_end=speed["end_to_end"],
        ratio=median_ratio(found["model"], found["end_to_end"]),
        rounds=len(found["model"]),
        images_per_batch=len(images),
        side_px=list(images.shape[2:]),
        device=str(parts.precision.device),
        precision=parts.precision.name,
        threads=torch.get_num_threads(),
        num_workers=parts.train_loader.loader.num_workers,
        cache=describe_cache(cfg, parts),
        step=describe_step(cfg, parts),
    )


def describe_cache(cfg: DictConfig, parts: RunParts) -> str:
    """State of the cache of decoded training images."""
    note = parts.train_loader.cache_note
    if parts.data.train.in_memory:
        return "not needed, the pictures are in memory"
    if cfg.data.get("cache", "off") in ("off", "False"):
        return "off"
    return "empty: measured as the first epoch, which fills it" if note == "empty" else note


def suggest(cfg: DictConfig, precision: Precision, result: BenchResult) -> list[str]:
    """Overrides that would help against the bottleneck, most likely first."""
    return (suggest_for_step if result.bottleneck == "model" else suggest_for_loader)(
        cfg, precision, result
    )


def suggest_for_step(cfg: DictConfig, precision: Precision, result: BenchResult) -> list[str]:
    found = []
    on_gpu = precision.device.type == "cuda"
    if on_gpu and precision.name == "fp32" and torch.cuda.is_bf16_supported():
        found.append("precision=bf16")
    if not on_gpu and precision.name == "fp16":
        found.append("precision=fp32")
    if not cfg.channels_last:
        found.append("channels_last=true")
    if on_gpu and not cfg.compile:
        found.append("compile=true")
    if cfg.optimizer.get("fused") is False:
        found.append("optimizer.fused=null")
    if not on_gpu and result.threads < num_cores():
        found.append(f"OMP_NUM_THREADS={num_cores()}")
    return found + suggest_size(cfg)


def suggest_for_loader(cfg: DictConfig, precision: Precision, result: BenchResult) -> list[str]:
    found = []
    cores, there = num_cores(), result.num_workers
    if result.cache == "off":
        found.append("data.cache=auto")
    if there < cores and (cores > 2 or precision.device.type == "cuda"):
        found.append(f"data.num_workers={min(cores, max(1, 2 * there))}")
    crops = any("RandomResizedCrop" in str(node.get("_target_")) for node in cfg.transform.train)
    in_files = "cache_px" in cfg.data and cfg.data.cache_px is None
    if crops and in_files and "in memory" not in result.cache:
        found.append(f"data.cache_px={round(cfg.transform.size * 256 / 224)}")
    return found + suggest_size(cfg)


def suggest_size(cfg: DictConfig) -> list[str]:
    """The override for images of half the side, where the config has one and it is not tiny."""
    resizes = any("size" in node for node in cfg.transform.train)
    if not resizes:
        side = cfg.data.get("image_size")
        return [f"data.image_size={side // 2}"] if side is not None and side >= 32 else []
    side = cfg.transform.get("size")
    return [f"transform.size={side // 2}"] if side is not None and side >= 64 else []


def print_result(console: PrintableConsole, result: BenchResult) -> None:
    height, width = result.side_px
    rows = {
        "batch": f"{result.images_per_batch} pictures of {height} x {width} px",
        "device": f"{result.device}, {result.precision}, {result.threads} threads",
        "step": result.step,
        "cache": result.cache,
        "loader": f"{result.loader:9,.1f} images/s, files to batches, nothing is computed",
        "model": f"{result.model:9,.1f} images/s, the training step alone",
        "end to end": f"{result.end_to_end:9,.1f} images/s, {result.ratio:.2f} of the step alone "
        f"(median of {result.rounds})",
        "bottleneck": explain(result),
    }
    width = max(map(len, rows))
    for label, text in rows.items():
        console.result(f"[bold]{label:<{width}}[/bold]  ", end="")
        console.result(text, markup=False)
    for i, word in enumerate(result.suggestions):
        label = "to try" if i == 0 else ""
        console.result(f"[bold]{label:<{width}}[/bold]  ", end="")
        console.result(as_command(word), markup=False)


def explain(result: BenchResult) -> str:
    """A sentence about the bottleneck."""
    if result.bottleneck == "model":
        return "the model: loading costs next to nothing"
    cost = f"loading costs {100 * (1 - result.ratio):.0f} % of the time"
    if result.cache.startswith("empty"):
        cost += " in the first epoch; for later ones measure again after it"
    if result.loader < result.model:
        return f"the loader, which is slower than the step: {cost}"
    return f"the loader, which takes turns with the step on the same cores: {cost}"


def as_command(setting: str) -> str:
    """This command with one more setting, so that its effect can be measured."""
    program, arguments = typed_command()
    if setting.startswith("OMP_"):
        return f"{setting} {shlex.join([*program, *arguments])}"
    return shlex.join([*program, *arguments, setting])
