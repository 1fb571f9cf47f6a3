"""`strategy=budget`: a model within a given time.

The plan is made of ordinary overrides. Once it is chosen, the run is an ordinary one, and the command
that it prints repeats it without the clock.
"""

import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
from pochitrain.run.build import build_model, build_pipelines
from pochitrain.run.fit.backbone import HINT, choose_backbone
from pochitrain.run.fit.measure import time_forward, time_loading, time_training
from pochitrain.run.fit.pilot import Pilot, hold_out, run_pilot
from pochitrain.run.fit.plan import (
    MAX_EPOCHS,
    Costs,
    Plan,
    Training,
    Work,
    make_plan,
    pretrained_sizes,
    scratch_size,
)
from pochitrain.run.fit.recompose import (
    combine,
    key_of_override,
    recompose,
    tell_hydra_overrides,
    typed_overrides,
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
            "Stopped while the plan was made. Nothing of a run is lost: features that were computed "
            "are kept, and the same command uses them.",
            error.exit_code,
        ) from None
    program, _ = typed_command()
    final = combine(overrides, budget.typed)
    words = [*program[:-1], "train"] if program[-1] == "fit" else program
    command = shlex.join([*words, *final])
    remember_command("pochi", ["train", *final])
    tell_hydra_overrides(final)
    chosen = recompose(final)
    result = train(chosen, [*warnings, *validate(chosen)])
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
                "strategy=budget must have validation pictures, got none. Add data.val_fraction=0.2 "
                "or data.val_root=DIR."
            )
        work = Work(len(data.train), len(data.val), median_side(data.train))
        measuring = Measuring(self, backbone, data, precision)
        plan = make_plan(work, measuring.costs(work), self.left_s)
        if plan.probe_px is None:
            self.say(f"No pretrained model is here ({HINT}): training starts from random weights.")
        self.print_plan(plan, work)
        probe = probe_words(backbone or [], plan)
        if plan.training is None:
            return probe
        held = hold_out(data, first.seed)
        if plan.probe_px is None or held is None:
            return training_words(backbone, plan.training, plan.training.epochs)
        return self.compare(probe, backbone or [], plan.training, held, precision)

    def print_plan(self, plan: Plan, work: Work) -> None:
        """Three lines: what is done first, what then, and when it will be done."""
        pictures = work.num_train + work.num_val
        training = plan.training
        if plan.probe_px is not None:
            self.say(
                f"plan      {pictures:,} pictures once through the pretrained model at "
                f"{plan.probe_px} px ({duration(plan.probe_s)}), then its last layer"
            )
        if training is None:
            self.say("          the time is too short to train all layers as well")
        elif plan.probe_px is None:
            self.say(
                f"plan      all layers at {training.size_px} px for {training.epochs} epochs "
                f"({duration(training.seconds)})"
            )
        else:
            what = "all layers from there" if training.strategy != "scratch" else "all from scratch"
            self.say(
                f"          {what} at {training.size_px} px for {training.epochs} epochs "
                f"({duration(training.seconds)}), if {training.pilot_epochs} are better on held-out "
                f"training pictures ({duration(training.pilot_s)})"
            )
        end = time.localtime(time.time() + plan.seconds)
        late = plan.seconds - self.left_s
        note = f"; {duration(late)} more than wanted: the pictures are many" if late > 0 else ""
        self.say(f"          done by {time.strftime('%H:%M:%S', end)} at the latest{note}")

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
            f"layers {second.value:.4g} after {training.pilot_epochs} epochs. "
            f"{'All layers' if wins else 'The last layer alone'} it is."
        )
        if not wins:
            return probe
        share = len(held.train) / (len(held.train) + num_held)
        epochs = int((self.left_s - END_S) / (second.epoch_s / share))
        return training_words(backbone, training, min(max(epochs, 1), MAX_EPOCHS))


END_S = 6.0
"""For building the run again, its graphs and the end of the process."""


def is_better(cfg: DictConfig, one: Pilot, other: Pilot) -> bool:
    from pochitrain.metric.table import find_metric

    metric = find_metric(str(cfg.monitor))
    higher = metric is None or metric.higher_is_better is not False
    return one.value > other.value if higher else one.value < other.value


def probe_words(backbone: Sequence[str], plan: Plan) -> list[str]:
    return ["strategy=probe", *backbone, f"transform.size={plan.probe_px}"]


def training_words(backbone: Sequence[str] | None, training: Training, epochs: int) -> list[str]:
    model = ["model=resnet18"] if training.strategy == "scratch" else list(backbone or [])
    size = [f"transform.size={training.size_px}", f"epochs={epochs}"]
    return [f"strategy={training.strategy}", *model, *size]


def median_side(dataset: ImageDataset) -> int:
    """Median of the shorter sides of some images, in pixels."""
    indices = np.linspace(0, len(dataset) - 1, min(NUM_SIZES_READ, len(dataset))).astype(int)
    return int(np.median([min(dataset.size(int(index))) for index in indices]))


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


class Measuring:
    """Measures what the work on a picture costs, for the models that may be chosen."""

    def __init__(
        self, budget: Budget, backbone: list[str] | None, data: DataSplits, precision: Precision
    ) -> None:
        self.budget = budget
        self.backbone = backbone
        self.data = data
        self.precision = precision
        self.typed = {key_of_override(word): word for word in budget.typed}

    def costs(self, work: Work) -> Costs:
        """A few seconds of measuring."""
        scratch_px = scratch_size(work)
        forward: dict[int, float] = {}
        finetune: Mapping[int, float] = {}
        if self.backbone is not None:
            forward = self.forward(work)
            middle = sorted(forward)[len(forward) // 2]
            trained = time_training(self.model(self.backbone), middle, self.precision)
            ratio = max(trained / forward[middle], 1.0)
            load = self.loading(["strategy=probe", *self.backbone], middle)
            finetune = {px: self.total(seconds * ratio, load) for px, seconds in forward.items()}
            forward = {px: self.total(seconds, load) for px, seconds in forward.items()}
        scratch: dict[int, float] = {}
        if self.backbone is None or work.side_px <= 64:
            seconds = time_training(self.model(["model=resnet18"]), scratch_px, self.precision)
            load = self.loading(["strategy=scratch"], scratch_px)
            scratch = {scratch_px: self.total(seconds, load)}
        return Costs(forward, finetune, scratch)

    def forward(self, work: Work) -> dict[int, float]:
        size = self.typed.get("transform.size", "").partition("=")[2]
        sizes = [int(size)] if size.isdigit() else pretrained_sizes(work)
        model = self.model(self.backbone or [])
        return {px: time_forward(model, px, self.precision) for px in sizes}

    def model(self, words: Sequence[str]) -> Any:
        parts = Components(self.budget.compose(["strategy=scratch", *words]))
        return build_model(parts, self.data, self.precision.device)

    def loading(self, words: Sequence[str], size_px: int) -> float:
        cfg = self.budget.compose([*words, f"transform.size={size_px}"])
        pipelines, _ = build_pipelines(Components(cfg))
        return time_loading(self.data.train, pipelines["val"])

    def total(self, compute_s: float, load_s: float) -> float:
        """On a CPU both use the same cores; beside a GPU, loading goes on meanwhile."""
        if self.precision.device.type == "cpu":
            return compute_s + load_s
        return max(compute_s, load_s)
