"""When a model answers "unknown", and which classes it holds possible."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from pochitrain.error import ConfigError, require
from pochitrain.inference.calibration import Calibration
from pochitrain.inference.table import PredictionRow
from pochitrain.text import printable

RISK = 0.05
"""Chance that the share of mistakes among accepted images is higher than was wanted."""
ROUNDING = 1e-9


@dataclass(frozen=True)
class Decision:
    """What is done with the probabilities of an image. The default accepts every answer."""

    max_error: float | None = None
    """The wanted share of mistakes among the accepted answers, 0 to 1; None = all are accepted."""
    threshold: float = 0.0
    """Least confidence of an accepted answer."""
    coverage: float | None = None
    """The wanted share of prediction sets that hold the true class, 0 to 1; None = no sets."""
    least_probability: float = 1.0
    """Of a class in a prediction set; the likeliest class is always in it."""

    def accepts(self, confidence: float) -> bool:
        """Whether an answer of this confidence is given; if not, the image is "unknown"."""
        return self.max_error is None or confidence >= self.threshold

    def class_set(self, probabilities: Sequence[float]) -> list[int] | None:
        """Indices of the classes that are possible, likeliest first; None without `coverage`."""
        if self.coverage is None:
            return None
        order = sorted(range(len(probabilities)), key=lambda index: -probabilities[index])
        inside = [index for index in order if probabilities[index] >= self.least_probability]
        return inside or order[:1]


def decide(
    calibration: Calibration | None,
    source: Path,
    max_error: float | None = None,
    coverage: float | None = None,
) -> Decision:
    """The decision that keeps to the wanted error and coverage.

    Args:
        calibration: of the model.
        source: the model file, for the message.
        max_error: share of mistakes among the accepted images, above 0 and below 1.
        coverage: share of prediction sets with the true class, above 0 and below 1.

    Raises:
        ConfigError: if the calibration cannot promise that, or the model has none.
    """
    if max_error is None and coverage is None:
        return Decision()
    for name, value in (("max-error", max_error), ("coverage", coverage)):
        require(value is None or 0 < value < 1, name, "a share above 0 % and below 100 %", value)
    if calibration is None:
        name = "coverage" if max_error is None else "max-error"
        raise ConfigError(
            f"{name} needs a calibrated model, got {str(source)!r}, which is not calibrated. Type: "
            "pochi calibrate RUN (then export again, if it is an exported model)."
        )
    threshold = 0.0 if max_error is None else choose_threshold(calibration, max_error)
    least = 1.0 if coverage is None else choose_least(calibration, coverage)
    return Decision(max_error, threshold, coverage, least)


def choose_threshold(calibration: Calibration, max_error: float) -> float:
    """The lowest threshold at which mistakes are rarer than `max_error` with confidence 1 - RISK.

    The upper bound of Clopper & Pearson (1934) must be at most `max_error`. It is computed with
    RISK / K, where K thresholds are looked at, so that all K bounds hold together (as by Geifman &
    El-Yaniv 2017). Looked at are those that so many images can decide: at which no mistake at all
    would be enough.

    Raises:
        ConfigError: if there is none.
    """
    rows = calibration.reject
    num = next(
        (k for k in range(len(rows), 0, -1) if upper_bound(0, rows[k - 1][1], k) <= max_error), 0
    )
    if num == 0:
        needed = math.ceil(math.log(RISK) / math.log1p(-max_error))
        raise ConfigError(
            f"max-error must be a rate that the calibration can show, got {max_error:.2%}: this "
            f"takes at least {needed:,} pictures, and the model was calibrated on "
            f"{calibration.images:,}. Allow more, or calibrate with more (pochi calibrate RUN "
            "--data DIR)."
        )
    bounds = [upper_bound(errors, accepted, num) for _, accepted, errors in rows[:num]]
    for (threshold, _, _), bound in zip(rows, bounds, strict=False):
        if bound <= max_error:
            return threshold
    best = min(bounds)
    raise ConfigError(
        f"max-error must be a rate that the model can keep, got {max_error:.2%}: the lowest that "
        f"{calibration.images:,} pictures show with {1 - RISK:.0%} confidence is "
        f"{math.ceil(1e4 * best) / 1e4:.2%}. Allow that, or calibrate with more pictures."
    )


def upper_bound(errors: int, accepted: int, num_bounds: int) -> float:
    """Upper limit for a rate of mistakes of which `errors` were seen among `accepted` images.

    Args:
        num_bounds: so many limits hold together with confidence 1 - RISK.
    """
    from scipy.stats import beta

    if errors >= accepted:
        return 1.0
    return float(beta.ppf(1 - RISK / num_bounds, errors + 1, accepted - errors))


def choose_least(calibration: Calibration, coverage: float) -> float:
    """The least probability of a class in a set with this coverage, or the next higher one.

    Raises:
        ConfigError: if it is below 50 %, or more than so many images can show.
    """
    sets = calibration.sets
    low, high = (sets[0][0], sets[-1][0]) if sets else (0.0, 0.0)
    if not low - ROUNDING <= coverage <= high + ROUNDING:
        raise ConfigError(
            f"coverage must be from {low:.0%} to {high:.1%} for a model that was calibrated on "
            f"{calibration.images:,} pictures, got {coverage:.2%}."
        )
    return next(least for known, least in sets if known >= coverage - ROUNDING)


def summarize_decision(decision: Decision, rows: Sequence[PredictionRow]) -> dict[str, Any]:
    """What the decision has made of some images, for inference_summary.json; empty without one.

    Shares are from 0 to 1; None where no image tells.
    """
    read = [row for row in rows if row.predicted is not None]
    content: dict[str, Any] = {}
    if decision.max_error is not None:
        accepted = [row for row in read if row.accepted]
        wrong = [row.predicted != row.true for row in accepted if row.true is not None]
        content["reject"] = {
            "max_error": decision.max_error,
            "threshold": decision.threshold,
            "accepted": len(accepted),
            "unknown": len(read) - len(accepted),
            "error_of_accepted": fmean(wrong) if wrong else None,
        }
    if decision.coverage is not None:
        sets = [(row.true, row.class_set) for row in read if row.class_set is not None]
        held = [true in inside for true, inside in sets if true is not None]
        content["class_sets"] = {
            "coverage": decision.coverage,
            "least_probability": decision.least_probability,
            "mean_size": fmean(len(inside) for _, inside in sets) if sets else None,
            "share_with_true_class": fmean(held) if held else None,
        }
    return content


def describe_answer(
    decision: Decision, probabilities: Sequence[float], class_names: Sequence[str]
) -> list[str]:
    """What is decided about one image, as lines for the terminal; none if nothing was asked."""
    lines = []
    if decision.max_error is not None and not decision.accepts(max(probabilities)):
        lines.append(
            f"unknown: a confidence below {decision.threshold:.2%} is not accepted, for at most "
            f"{decision.max_error:.2%} mistakes"
        )
    inside = decision.class_set(probabilities)
    if inside is not None:
        names = ", ".join(printable(class_names[index]) for index in inside)
        lines.append(f"possible at {decision.coverage:.1%} coverage: {names}")
    return lines


def describe_decision(content: dict[str, Any]) -> list[str]:
    """What `summarize_decision` has returned, as lines for the terminal."""
    lines = []
    if reject := content.get("reject"):
        text = f"accepted  {reject['accepted']:,} pictures with confidence >= "
        text += f"{reject['threshold']:.4f}, {reject['unknown']:,} are unknown"
        error = reject["error_of_accepted"]
        note = "" if error is None else f"; {error:.2%} of the accepted are wrong"
        lines.append(f"{text}{note} (wanted: {reject['max_error']:.2%} at most)")
    if sets := content.get("class_sets"):
        held, size = sets["share_with_true_class"], sets["mean_size"]
        text = f"sets      for {sets['coverage']:.1%} coverage"
        text += "" if size is None else f": {size:.2f} classes on average"
        lines.append(text + ("" if held is None else f", {held:.2%} hold the true class"))
    return lines
