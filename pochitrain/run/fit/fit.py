"""`strategy=budget`: a model within a given time.

The plan is made of ordinary overrides. Once it is chosen, the run is an ordinary one, and the
command that it prints repeats it without the clock.
"""

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from omegaconf import DictConfig
from rich.console import Console

from pochitrain.command import remember_command, typed_command
from pochitrain.config.component import Components
from pochitrain.config.root import validate
from pochitrain.console import open_console
from pochitrain.data.dataset import DataSplits, ImageDataset, require_splits
from pochitrain.engine.device import Precision, select_device, select_precision
from pochitrain.engine.interrupt import StopRequest
from pochitrain.error import ConfigError, Interrupted
from pochitrain.run.fit.backbone import HINT, choose_backbone
from pochitrain.run.fit.cost import CostMeasurement
from pochitrain.run.fit.pilot import Pilot, hold_out, run_pilot
from pochitrain.run.fit.plan import MAX_EPOCHS, Plan, Training, Work, describe, make_plan
from pochitrain.run.fit.recompose import (
    combine,
    recompose,
    tell_hydra_overrides,
    typed_overrides,
    typed_value,
)
from pochitrain.run.train import set_backends, train
from pochitrain.seed import seed_everything

NUM_SIZES_READ = 300
"""Pictures whose size is looked at, spread over the data set."""


def fit(cfg: DictConfig, warnings: list[str], started_s: float) -> float | None:
    """Measure, plan, compare on held-out training pictures, and train.

    Args:
        cfg: a config with strategy=budget.
        started_s: when the command began, of `time.monotonic`.

    Returns:
        As `train`.

    Raises:
        ConfigError: for wrong input.
        Interrupted: when asked to stop.
    """
    deadline_s = started_s + 60 * cfg.budget.minutes
    budget = Budget(typed_overrides(), deadline_s, open_console())
    try:
        overrides = budget.choose()
    except Interrupted as error:
        raise Interrupted(
            "Stopped while the plan was made, before the run began. Features that were computed "
            "are kept: the same command uses them.",
            error.exit_code,
        ) from None
    program, _ = typed_command()
    final = combine(overrides, budget.typed)
    words = [*program[:-1], "train"] if program[-1] == "fit" else program
    command = shlex.join([*words, *final])
    remember_command("pochi", ["train", *final])
    tell_hydra_overrides(final)
    chosen = recompose(final)
    result = train(chosen, list(dict.fromkeys([*warnings, *validate(chosen)])))
    minutes = (time.monotonic() - started_s) / 60
    budget.say(f"Done in {minutes:.1f} of {cfg.budget.minutes:g} minutes.")
    budget.say(f"The same run without the clock: {command}")
    return result


@dataclass
class Budget:
    """The time, and what was typed."""

    typed: list[str]
    deadline_s: float
    """Of time.monotonic."""
    console: Console

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    @property
    def left_s(self) -> float:
        return self.deadline_s - time.monotonic()

    def compose(self, planned: Sequence[str]) -> DictConfig:
        cfg = recompose(combine(planned, self.typed))
        validate(cfg)
        return cfg

    def choose(self) -> list[str]:
        """The overrides of the run: those of the plan that did better."""
        backbone = choose_backbone(self.typed)
        first = self.compose(["strategy=scratch"])
        precision = select_precision(str(first.precision), select_device(first.device))
        set_backends(first, precision.device)
        seed_everything(first.seed)
        data = require_splits(Components(first).build_data())
        if data.val is None:
            raise ConfigError(
                "strategy=budget must have validation pictures, got none. Add "
                "data.val_fraction=0.2 or data.val_root=DIR."
            )
        work = Work(len(data.train), len(data.val), median_side(data.train))
        size = typed_value(self.typed, "transform.size")
        typed_px = int(size) if size.isdigit() else None
        measurement = CostMeasurement(self.compose, backbone, data, precision, typed_px)
        plan = make_plan(work, measurement.costs(work), self.left_s)
        if plan.probe_px is None:
            self.say(f"No pretrained model is here ({HINT}): training starts from random weights.")
        for line in describe(plan, work, self.left_s, time.time()):
            self.say(line)
        probe = probe_words(backbone or [], plan)
        if plan.training is None:
            return probe
        held = hold_out(data, first.seed)
        if plan.probe_px is None or held is None:
            return training_words(backbone, plan.training, plan.training.epochs)
        return self.compare(probe, backbone or [], plan.training, held, precision)

    def compare(
        self,
        probe: list[str],
        backbone: list[str],
        training: Training,
        held: DataSplits,
        precision: Precision,
    ) -> list[str]:
        """The overrides that did better on the pictures held out."""
        request = StopRequest()
        cfg = self.compose(probe)
        first = run_pilot(cfg, held, precision, request, "Comparing: the last layer")
        words = training_words(backbone, training, training.pilot_epochs)
        second = run_pilot(self.compose(words), held, precision, request, "Comparing: all layers")
        name = str(cfg.monitor)
        wins = is_better(cfg, second, first)
        num_held = 0 if held.val is None else len(held.val)
        self.say(
            f"{name} on {num_held:,} held-out training pictures: last layer {first.value:.4g}, all "
            f"layers {second.value:.4g} after {training.pilot_epochs} epochs: "
            f"{'all layers' if wins else 'the last layer alone'}."
        )
        if not wins:
            return probe
        share = len(held.train) / (len(held.train) + num_held)
        epochs = int((self.left_s - END_S) / (second.epoch_s / share))
        if epochs < training.pilot_epochs:
            self.say("Too little time is left to train all layers: the last layer alone.")
            return probe
        return training_words(backbone, training, min(epochs, MAX_EPOCHS))


WHOLE = "transform.fit=auto"
"""Nothing at the edge of wide or tall pictures is cut away."""
CROP = "transform.crop_scale=0.5"
"""In so few epochs, crops of a twelfth of a picture teach little."""
END_S = 6.0
"""For building the run again, its graphs and the end of the process."""


def is_better(cfg: DictConfig, one: Pilot, other: Pilot) -> bool:
    from pochitrain.metric.table import find_metric

    metric = find_metric(str(cfg.monitor))
    higher = metric is None or metric.higher_is_better is not False
    return one.value > other.value if higher else one.value < other.value


def probe_words(backbone: Sequence[str], plan: Plan) -> list[str]:
    return ["strategy=probe", *backbone, f"transform.size={plan.probe_px}", WHOLE]


def training_words(backbone: Sequence[str] | None, training: Training, epochs: int) -> list[str]:
    model = ["model=resnet18"] if training.strategy == "scratch" else list(backbone or [])
    size = [f"transform.size={training.size_px}", WHOLE, f"epochs={epochs}"]
    warm_up = min(1, epochs // 4)  # of three epochs, a slow one would be too much
    rest = [CROP, f"warmup_epochs={warm_up}"]
    return [f"strategy={training.strategy}", *model, *size, *rest]


def median_side(dataset: ImageDataset) -> int:
    """Median of the shorter sides of some images, in pixels."""
    indices = np.linspace(0, len(dataset) - 1, min(NUM_SIZES_READ, len(dataset))).astype(int)
    return int(np.median([min(dataset.size(int(index))) for index in indices]))
