"""What fits into the time: sizes, epochs and the share of a comparison, from measured costs.

Only arithmetic, so that a plan can be checked by hand.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pochitrain.config.transform import choose_crop_scale

SIZES_PX = (32, 64, 96, 128, 160, 192, 224)
"""Side lengths that are considered. Backbones are trained at 224 px or more."""
MIN_PRETRAINED_PX = 64
"""A backbone of 32 times smaller last maps sees little at less than this."""
SMALL_PX = 40
"""Pictures of this side or less are compared with a model trained from scratch at their own size:
the first layers of a backbone for photographs throw half of each side away at once."""
MAX_ENLARGEMENT = 2
"""Features of small pictures get better when these are enlarged, up to about this much: on emoji
of 64 px, balanced accuracy of a linear classifier on features of EfficientNet-Lite0 was 62.0 % at
64 px, 67.2 at 96, 69.4 at 128 and 67.0 at 160."""
PROBE_SHARE = 0.8
"""Of the time left, at most this much goes into features; the rest is for the head and the end."""
LEAST_CROP = 0.5
"""In so few epochs, crops of a twelfth of a picture teach little."""
LARGE = 2
"""A JPEG file can be decoded at half of its size, or less."""
MIN_EPOCHS = 3
"""Fewer epochs of all layers rarely beat a good probe."""
MAX_EPOCHS = 30
HELD_OUT = 0.2
"""Share of the training pictures that the comparison holds out."""
FIXED_S = 6.0
"""Building the model, cross-validating the head, drawing the graphs."""


@dataclass(frozen=True)
class Work:
    """How many pictures there are, and of which size."""

    num_train: int
    num_val: int
    side_px: int
    """Median of the shorter sides."""


@dataclass(frozen=True)
class Costs:
    """Seconds per picture on this machine, loading included, by side length in pixels."""

    forward_s: Mapping[int, float]
    """Of the pretrained backbone, for the sizes to choose from; empty without one."""
    finetune_s: Mapping[int, float]
    """A training step of the pretrained model; empty without one."""
    scratch_s: Mapping[int, float]
    """A training step of the model that is trained from scratch, at its only size."""
    evaluate_s: Mapping[int, float] | None = None
    """As `forward_s`, for pictures that have been loaded before; None = the same."""
    once_s: float = 0.0
    """Loading a picture of training for the first time, beyond what `finetune_s` and `scratch_s`
    have of it: its result is kept for later epochs."""

    def times(self, factor: float) -> "Costs":
        """Those of a machine on which everything takes `factor` times as long."""

        def scale(seconds: Mapping[int, float]) -> dict[int, float]:
            return {px: factor * value for px, value in seconds.items()}

        return Costs(
            scale(self.forward_s),
            scale(self.finetune_s),
            scale(self.scratch_s),
            None if self.evaluate_s is None else scale(self.evaluate_s),
            factor * self.once_s,
        )


@dataclass(frozen=True)
class Training:
    """A training of all layers, and the shorter one by which it is compared before."""

    strategy: str
    size_px: int
    epochs: int
    pilot_epochs: int
    pilot_s: float
    """Of the comparison, with the features at another size and what else is done once before it."""
    seconds: float
    """Of the training itself."""
    cache_px: int | None = None
    """Shorter side in pixels that pictures are reduced to before a random crop; see `reduce_to`."""


@dataclass(frozen=True)
class Plan:
    """What to try; the better on held-out training pictures is the result."""

    probe_px: int | None
    """Side length for features; None without a pretrained backbone."""
    probe_s: float
    training: Training | None
    """None where the time is too short for it."""

    @property
    def seconds(self) -> float:
        """Expected duration, if the training is chosen."""
        training = self.training
        return FIXED_S + self.probe_s + (training.pilot_s + training.seconds if training else 0)


def make_plan(work: Work, costs: Costs, left_s: float) -> Plan:
    """The plan for the time that is left.

    Args:
        left_s: seconds until the end of the budget.
    """
    if not costs.forward_s:
        return Plan(None, 0.0, plan_scratch(work, costs, left_s - FIXED_S, is_only=True))
    sizes = sorted(costs.forward_s)
    probe_px = choose_probe(work, costs, sizes, PROBE_SHARE * (left_s - FIXED_S))
    probe_s = costs.forward_s[probe_px] * (work.num_train + work.num_val)
    rest_s = left_s - FIXED_S - probe_s
    if work.side_px <= SMALL_PX:
        return Plan(probe_px, probe_s, plan_scratch(work, costs, rest_s, is_only=False))
    sizes = [px for px in sizes if px <= probe_px]
    return Plan(probe_px, probe_s, plan_finetune(work, costs, sizes, rest_s, probe_px))


def pretrained_sizes(work: Work) -> list[int]:
    """Side lengths for a pretrained backbone, small first."""
    largest = min(max(work.side_px * MAX_ENLARGEMENT, 2 * MIN_PRETRAINED_PX), SIZES_PX[-1])
    return [px for px in SIZES_PX if MIN_PRETRAINED_PX <= px <= largest]


def choose_probe(work: Work, costs: Costs, sizes: list[int], limit_s: float) -> int:
    """The largest of `sizes` at which all features take no more than `limit_s`; else the least."""
    num_pictures = work.num_train + work.num_val
    fitting = [px for px in sizes if costs.forward_s[px] * num_pictures <= limit_s]
    return max(fitting, default=sizes[0])


def plan_finetune(
    work: Work, costs: Costs, sizes: list[int], limit_s: float, probe_px: int
) -> Training | None:
    """Training of all layers from the probe on, at the largest size that leaves enough epochs."""
    once_s = costs.once_s * work.num_train
    evaluate_s = costs.evaluate_s or costs.forward_s
    for px in reversed(sizes):
        head_s = 0 if px == probe_px else costs.forward_s[px] * (work.num_train + work.num_val)
        epoch_s = costs.finetune_s[px] * work.num_train + evaluate_s[px] * work.num_val
        before_s = head_s + once_s
        training = fill_time("probe_finetune", px, epoch_s, limit_s - before_s)
        if training.epochs >= MIN_EPOCHS:
            cache_px = reduce_to(work.side_px, px)
            return replace(training, pilot_s=training.pilot_s + before_s, cache_px=cache_px)
    return None


def plan_scratch(work: Work, costs: Costs, limit_s: float, *, is_only: bool) -> Training | None:
    """Training from random weights, at a size that follows the pictures."""
    ((px, seconds),) = costs.scratch_s.items()
    epoch_s = seconds * (work.num_train + work.num_val / 3)
    if is_only:  # nothing to compare with
        once_s = costs.once_s * (work.num_train + work.num_val)
        epochs = min(max(int((limit_s - once_s) / epoch_s), 1), MAX_EPOCHS)
        total_s, cache_px = once_s + epochs * epoch_s, reduce_to(work.side_px, px)
        return Training("scratch", px, epochs, 0, 0.0, total_s, cache_px)
    training = fill_time("scratch", px, epoch_s, limit_s)  # small pictures: nothing to reduce
    return training if training.epochs >= 2 * MIN_EPOCHS else None


def scratch_size(work: Work) -> int:
    """The size that is nearest to that of the pictures, 128 px at most."""
    return min((px for px in SIZES_PX if px <= 128), key=lambda px: abs(px - work.side_px))


def crop_scale(size_px: int) -> float:
    """The smallest part of the area that random crops take at `size_px`."""
    return max(choose_crop_scale(size_px, "crop"), LEAST_CROP)


def reduce_to(side_px: int, size_px: int) -> int | None:
    """`data.cache_px` for training at `size_px`; None for pictures that are hardly larger.

    So large photographs are decoded at a part of their size, and the cache has room for them. No
    crop of a photograph of 4 : 3 is enlarged by it (`lossless_px`).

    Args:
        side_px: median of the shorter sides of the pictures.
    """
    px = int(size_px / crop_scale(size_px) ** 0.5) + 1
    return px if side_px >= LARGE * px else None


def fill_time(strategy: str, size_px: int, epoch_s: float, limit_s: float) -> Training:
    """As many epochs as fit, with a comparison of half as many on the part not held out."""
    pilot_share = 0.5 * (1 - HELD_OUT)
    epochs = min(int(limit_s / (epoch_s * (1 + pilot_share))), MAX_EPOCHS)
    pilot_epochs = (epochs + 1) // 2
    pilot_s = pilot_epochs * (1 - HELD_OUT) * epoch_s
    while epochs and pilot_s + epochs * epoch_s > limit_s:  # rounding up the pilot was too much
        epochs -= 1
        pilot_epochs = (epochs + 1) // 2
        pilot_s = pilot_epochs * (1 - HELD_OUT) * epoch_s
    return Training(strategy, size_px, epochs, pilot_epochs, pilot_s, epochs * epoch_s)


def describe(plan: Plan, work: Work, left_s: float, now_s: float) -> list[str]:
    """Three lines for a person: what is done first, what then, and when all is done.

    Args:
        left_s: seconds until the end of the budget.
        now_s: as time.time gives it.
    """
    training, lines = plan.training, []
    if plan.probe_px is not None:
        lines.append(
            f"plan      {work.num_train + work.num_val:,} pictures once through the pretrained "
            f"model at {plan.probe_px} px ({duration(plan.probe_s)}), then its last layer"
        )
    if training is None:
        lines.append("          the time is too short to train all layers as well")
    elif plan.probe_px is None:
        lines.append(
            f"plan      all layers at {training.size_px} px for {training.epochs} epochs "
            f"({duration(training.seconds)})"
        )
    else:
        what = "from random weights" if training.strategy == "scratch" else "from there"
        lines.append(
            f"          all layers {what} at {training.size_px} px for {training.epochs} epochs "
            f"({duration(training.seconds)}), if {training.pilot_epochs} do better on held-out "
            f"training pictures ({duration(training.pilot_s)})"
        )
    end = time.strftime("%H:%M:%S", time.localtime(now_s + plan.seconds))
    late_s = plan.seconds - left_s
    note = (
        f", {duration(late_s)} late: the time is too short for these pictures"
        if late_s > 0.5
        else ""
    )
    return [*lines, f"          done by {end} at the latest{note}"]


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
