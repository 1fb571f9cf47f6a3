"""`tune=auto`: measures settings that change the speed and not the mathematics, before training."""

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from pochitrain.config.component import Components
from pochitrain.config.loader import LoaderConfig
from pochitrain.config.root import RootConfig
from pochitrain.console import PrintableConsole
from pochitrain.engine.device import select_precision
from pochitrain.error import ConfigError
from pochitrain.run.build import (
    RunParts,
    build_loaders,
    build_model,
    build_parts,
    build_pipelines,
    build_state,
)
from pochitrain.run.measure import Workbench, in_turns
from pochitrain.run.resume.config import TUNABLE
from pochitrain.seed import seed_everything
from pochitrain.threads import num_cores

EACH_S = 5.0
"""Seconds for measuring one setting; a setting that would take longer stays as it is."""
ROUNDS = 3
"""Rounds at least, of which the median counts."""
MARGIN = 1.03
"""How much faster another value must be than the usual one; less may be chance."""
DEFAULTS = {
    "channels_last": RootConfig.channels_last,
    "data.num_workers": LoaderConfig.num_workers,
}


@dataclass
class Choice:
    """What was measured of one setting."""

    speeds: dict[Any, float]
    """Value -> images/s; the usual value first. Empty if it would have taken too long."""
    value: Any

    def describe(self) -> str:
        if not self.speeds:
            return f"{show(self.value)}, not measured: a step takes too long"
        shown = ", ".join(f"{show(v)} {speed:,.0f}" for v, speed in self.speeds.items())
        return f"{show(self.value)} ({shown} images/s)"


def show(value: Any) -> str:
    return str(value).lower()


def refuse_in_sweep() -> None:
    """Refuse to measure in each job of a sweep.

    Raises:
        ConfigError: in a job of a sweep.
    """
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        raise ConfigError(
            "tune must be off in a sweep, in which every job would measure anew, got 'auto'. Train "
            "once with tune=auto and give what it chose to the sweep."
        )


def tune(
    cfg: DictConfig, parts: RunParts, console: PrintableConsole
) -> tuple[RunParts, dict[str, dict[str, Any]]]:
    """Measure the settings that are free, write the choice into `cfg`, and build the run from it.

    `parts` are used up; what is returned is as if `cfg` had had the chosen values from the start.
    Settings are free if the command line does not name them and they have their default value.

    Returns:
        The parts, and what was measured: key -> value chosen, images/s of each value.
    """
    free = [key for key in TUNABLE if is_free(cfg, key)]
    console.print(f"tune=auto measures {', '.join(free) or 'nothing: all is given'} ...")
    choices = {}
    measures: dict[str, Callable[[], Choice]] = {
        "channels_last": lambda: choose_memory_format(cfg, parts),
        "data.num_workers": lambda: choose_num_workers(cfg, parts),
    }
    try:
        for key in free:
            choices[key] = measures[key]()
            console.print(f"  {key}={choices[key].describe()}", markup=False, highlight=False)
            OmegaConf.update(cfg, key, choices[key].value)
    finally:
        parts.close_loaders()
    cfg.tune = "recorded"
    seed_everything(cfg.seed)
    report = {
        key: {"value": each.value, "images_per_s": {show(v): s for v, s in each.speeds.items()}}
        for key, each in choices.items()
    }
    # The steps that were measured have moved the scale of the gradients (fp16).
    precision = select_precision(parts.precision.name, parts.precision.device)
    return build_parts(cfg, precision), report


def is_free(cfg: DictConfig, key: str) -> bool:
    """Whether nobody has said what `key` should be, as far as that can be known."""
    words = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    typed = {word.lstrip("+~").partition("=")[0] for word in words}
    missing = object()
    return key not in typed and OmegaConf.select(cfg, key, default=missing) == DEFAULTS[key]


def choose_memory_format(cfg: DictConfig, parts: RunParts) -> Choice:
    """Measure the bare training step with images in both memory orders."""
    variants = {}
    for value in (True, False):
        changed = cfg.copy()
        changed.channels_last = value
        order = torch.channels_last if value else torch.contiguous_format
        components = Components(changed)
        model = build_model(components, parts.data, parts.precision.device)
        state = build_state(components, parts.data, model, None, parts.precision, parts.metrics)
        loader = replace(parts.train_loader, memory_format=order)
        variants[value] = replace(parts, state=state, train_loader=loader)
    return compare(cfg, variants, lambda work, count: work.compute(count))


def choose_num_workers(cfg: DictConfig, parts: RunParts) -> Choice:
    """Measure the training loop with different numbers of loader processes."""
    usual = parts.train_loader.loader.num_workers
    cores = num_cores()
    numbers = dict.fromkeys([usual, 0, 1, max(1, cores // 2), min(16, max(1, cores - 1))])
    variants = {usual: parts}
    for number in numbers:
        if number != usual:
            changed = cfg.copy()
            changed.data.num_workers = number
            components = Components(changed)
            pipelines, _ = build_pipelines(components)
            loader, _ = build_loaders(components, parts.data, pipelines, parts.precision.device)
            variants[number] = replace(parts, train_loader=loader)
    return compare(cfg, variants, lambda work, count: work.train(count))


def compare(
    cfg: DictConfig,
    variants: Mapping[Any, RunParts],
    run: Callable[[Workbench, int], float],
) -> Choice:
    """Measure blocks of `run` on each variant by turns; the first is the usual one.

    Args:
        run: gives the seconds for a number of batches.
    """
    usual = next(iter(variants))
    works: dict[Any, Workbench] = {}
    with tempfile.TemporaryDirectory() as folder:
        try:
            start = time.monotonic()
            for value, parts in variants.items():
                works[value] = Workbench(cfg, parts, Path(folder))
                run(works[value], 1)  # chooses kernels, starts loader processes
                if time.monotonic() - start > EACH_S:
                    return Choice({}, usual)
            start = time.monotonic()
            for work in works.values():
                run(work, 1)
            round_s = time.monotonic() - start
            if ROUNDS * round_s > EACH_S:
                return Choice({}, usual)
            count = max(1, int(EACH_S / ROUNDS / round_s / 2))
            sides = {str(value): partial(run, work, count) for value, work in works.items()}
            found = in_turns(sides, rounds=ROUNDS, seconds=EACH_S / 2)
        finally:
            for work in works.values():
                work.close()
    images = count * len(works[usual].batch.images)
    speeds = {value: images / statistics.median(found[str(value)]) for value in works}
    best = max(speeds, key=lambda value: speeds[value])
    return Choice(speeds, best if speeds[best] > MARGIN * speeds[usual] else usual)
