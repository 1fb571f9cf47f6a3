"""`strategy=budget`: a model within a given time.

The plan is made of ordinary overrides. Once it is chosen, the run is an ordinary one, and the
command that it prints repeats it without the clock.
"""

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from pochitrain.command import remember_command, typed_command
from pochitrain.config.component import Components
from pochitrain.config.ineffective_overrides import find_ineffective_overrides
from pochitrain.config.root import validate
from pochitrain.config.strategy import PROBE, PROBE_FINETUNE, strategy_name
from pochitrain.console import PrintableConsole, open_console
from pochitrain.data.dataset import DataSplits, require_splits
from pochitrain.data.picture_size import look_at_sizes
from pochitrain.engine.device import Precision, select_device, select_precision
from pochitrain.engine.interrupt import StopRequest
from pochitrain.error import ConfigError, Interrupted
from pochitrain.run.fit.backbone import HINT, choose_backbone
from pochitrain.run.fit.cost import CostMeasurement
from pochitrain.run.fit.pilot import hold_out, run_pilot
from pochitrain.run.fit.plan import (
    MAX_EPOCHS,
    Plan,
    Training,
    Work,
    crop_scale,
    describe,
    make_plan,
)
from pochitrain.run.fit.recompose import (
    combine,
    complete_command,
    recompose,
    tell_hydra_overrides,
    typed_overrides,
    typed_value,
)
from pochitrain.run.fit.rehearsal import rehearse
from pochitrain.run.resolve import resolve_auto
from pochitrain.run.train import set_backends, train
from pochitrain.seed import seed_everything

NUM_SIZES_READ = 300
"""Pictures whose size is looked at, spread over the data set."""
WHOLE = "transform.fit=auto"
"""Nothing at the edge of wide or tall pictures is cut away."""
UNCUT = "transform.crop_pct=1.0"
"""Validation and features show the whole middle square: the pictures are shown small, so their
edges are worth more than their pixels (docs/fit.md has the figures)."""
LONG_EPOCHS = 8
"""Where so many epochs of all layers fit, batch norm has the time to learn the statistics of the
pictures, which ends better than those of the pretrained weights (figures: docs/strategy.md). The
comparison, half as long, must have it too."""
FOR_LONG = ("strategy.freeze_norm=false", "learning_rate=0.003")
MEASURED_MODEL = "model=efficientnet_lite0"
"""The only one for which that was measured; other models may not bear the rate."""
REHEARSAL_S = 5.0
"""For building the model and the first seconds of the feature pass."""
END_S = 6.0
"""For building the run again, its graphs and the end of the process."""
GRACE = 0.05
"""Share of the time that the last epoch may end late."""


def fit(cfg: DictConfig, started_s: float) -> float | None:
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
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        raise ConfigError(
            "strategy must not be budget in a sweep, in which every job would measure and plan "
            "anew. Train once with it and give what it chose to the sweep."
        )
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
    final = combine(overrides, budget.typed)
    command = remember_choice(final)
    tell_hydra_overrides(final)
    chosen = recompose(final)
    node: Any = HydraConfig.get()
    unused = find_ineffective_overrides(final, node.get("aliases") or {}, chosen)
    typed_end = any(typed_value(budget.typed, key) for key in ("epochs", "stop_after_epoch"))
    is_limited = strategy_name(chosen) != PROBE and not typed_end  # a probe's epochs take no time
    end_s = deadline_s + 60 * GRACE * cfg.budget.minutes - END_S
    result = train(chosen, validate(chosen) + unused, end_s if is_limited else None)
    if is_limited and chosen.stop_after_epoch is not None:  # the machine became slower
        final = combine([*overrides, f"stop_after_epoch={chosen.stop_after_epoch}"], budget.typed)
        command = remember_choice(final)
    minutes = (time.monotonic() - started_s) / 60
    budget.say(f"Done in {minutes:.1f} of {cfg.budget.minutes:g} minutes.")
    budget.say(f"The same run without the clock: {command}")
    return result


def remember_choice(overrides: Sequence[str]) -> str:
    """The command that trains with these overrides, from now on the one of this process."""
    program, arguments = typed_command()
    words = complete_command(overrides, arguments)
    if program[-1].endswith(".py"):
        remember_command(program[-1], words)
    else:
        remember_command("pochi", ["train", *words])
    program, arguments = typed_command()
    return shlex.join([*program, *arguments])


@dataclass
class Budget:
    """The time, and what was typed."""

    typed: list[str]
    deadline_s: float
    """Of time.monotonic."""
    console: PrintableConsole
    loader: Sequence[str] = ()
    """Overrides of the loader that suit this machine and these pictures."""

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    @property
    def left_s(self) -> float:
        return self.deadline_s - time.monotonic()

    def compose(self, planned: Sequence[str]) -> DictConfig:
        cfg = recompose(combine([*planned, *self.loader], self.typed))
        validate(cfg)
        return cfg

    def choose(self) -> list[str]:
        """The overrides of the run: those of the plan that did better."""
        backbone = choose_backbone(self.typed)
        first = self.compose(["strategy=scratch", WHOLE])
        precision = select_precision(str(first.precision), select_device(first.device))
        set_backends(first, precision.device)
        seed_everything(first.seed)
        data = require_splits(Components(first).build_data())
        if data.val is None:
            raise ConfigError(
                "strategy=budget must have validation pictures, got none. Add "
                "data.val_fraction=0.2 or data.val_root=DIR."
            )
        sizes = look_at_sizes(data.train, NUM_SIZES_READ)
        if sizes is None:
            raise ConfigError("data must hold pictures that can be read, got none.")
        work = Work(len(data.train), len(data.val), sizes.typical_side("crop"))
        typed_px = None
        if typed_value(self.typed, "transform.size"):
            resolve_auto(first, data)
            typed_px = int(first.transform.size)
        measurement = CostMeasurement(self.compose, backbone, data, precision, typed_px)
        costs = measurement.costs(work)
        self.loader = measurement.words
        plan = make_plan(work, costs, self.left_s - REHEARSAL_S)
        if plan.probe_px is not None:
            cfg = self.compose(probe_words(backbone or [], plan))
            slower = (rehearse(cfg, data, precision) or 0.0) / costs.forward_s[plan.probe_px]
            if slower > 1:
                plan = make_plan(work, costs.times(slower), self.left_s)
        if plan.probe_px is None:
            self.say(f"No pretrained model is here ({HINT}): training starts from random weights.")
        for line in describe(plan, work, self.left_s, time.time()):
            self.say(line)
        held = hold_out(data, first.seed)
        return [*self.decide(plan, backbone, held, precision), *self.loader]

    def decide(
        self, plan: Plan, backbone: list[str] | None, held: DataSplits | None, precision: Precision
    ) -> list[str]:
        """The overrides of the run without those of the loader.

        Args:
            held: the training pictures, divided again; None where that is not possible.
        """
        probe = probe_words(backbone or [], plan)
        if plan.training is None:
            return probe
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
        trial = self.compose(words)
        second = run_pilot(trial, held, precision, request, "Comparing: all layers")
        name = str(cfg.monitor)
        wins = second.beats(first)
        num_held = 0 if held.val is None else len(held.val)
        self.say(
            f"{name} on {num_held:,} held-out training pictures: last layer {first.value:.4g}, all "
            f"layers {second.value:.4g} after {trial.epochs} epochs: "
            f"{'all layers' if wins else 'the last layer alone'}."
        )
        if not wins:
            return probe
        share = len(held.train) / (len(held.train) + num_held)
        once_s = second.once_s * (1 - share) / share  # for the pictures held out
        epochs = int((self.left_s - END_S - once_s) / (second.epoch_s / share))
        if epochs < training.pilot_epochs:
            self.say("Too little time is left to train all layers: the last layer alone.")
            return probe
        return training_words(backbone, training, min(epochs, MAX_EPOCHS))


def probe_words(backbone: Sequence[str], plan: Plan) -> list[str]:
    return ["strategy=probe", *backbone, f"transform.size={plan.probe_px}", WHOLE, UNCUT]


def training_words(backbone: Sequence[str] | None, training: Training, epochs: int) -> list[str]:
    model = ["model=resnet18"] if training.strategy == "scratch" else list(backbone or [])
    size = [f"transform.size={training.size_px}", WHOLE, UNCUT, f"epochs={epochs}"]
    warm_up = min(1, epochs // 4)  # of three epochs, a slow one would be too much
    rest = [f"transform.crop_scale={crop_scale(training.size_px):g}", f"warmup_epochs={warm_up}"]
    if training.cache_px is not None:
        rest.append(f"data.cache_px={training.cache_px}")
    if training.strategy == PROBE_FINETUNE and training.epochs >= LONG_EPOCHS:
        rest += FOR_LONG if MEASURED_MODEL in model else ()
    return [f"strategy={training.strategy}", *model, *size, *rest]
