"""What a comparison says, in words and numbers, for the terminal, the page and machines."""

from collections.abc import Mapping, Sequence
from typing import Any

from pochitrain.metric.interval import CONFIDENCE, Interval
from pochitrain.metric.paired import LEVEL
from pochitrain.run.compare.comparison import Comparison
from pochitrain.run.compare.row import Row
from pochitrain.run.compare.setting import Setting

NOISE_UNKNOWN = (
    "how much another seed would change is not known from one run each, or from runs that are all "
    "alike: train each with several (--multirun seed=1,2,3)"
)


def describe(comparison: Comparison) -> str:
    """The verdict on two settings, in a sentence or two."""
    first, second, gap = comparison.first, comparison.second, comparison.gap
    if comparison.p is None:
        return f"{first} and {second} cannot be tested: {comparison.note}."
    interval = comparison.differences[0].interval if comparison.differences else None
    between = "" if interval is None else f", 95 % interval {signed(interval)}"
    numbers = f"{gap:+.2f} points{between}; {show_p(comparison.p)}"
    of_pictures = comparison.differences[0].p if comparison.differences else 1.0
    if comparison.is_significant:
        better, worse = (first, second) if gap > 0 else (second, first)
        text = f"{better} is better than {worse} ({numbers}, {comparison.test})."
    else:
        text = f"{first} and {second} are not significantly different ({numbers})."
    of_seeds = comparison.p_seeds
    if of_seeds is not None and of_pictures < LEVEL <= of_seeds:
        text += (
            f" The pictures show a difference ({show_p(of_pictures)}, {comparison.test}), but the "
            f"noise between so few runs could explain it ({show_p(of_seeds)}): train more seeds."
        )
    if comparison.note:
        text += f" Note: {comparison.note}."
    return text


def describe_metrics(comparison: Comparison) -> str:
    """The differences in the metrics besides accuracy, in a line; empty without any."""
    parts = []
    for one in comparison.differences[1:]:
        digits = 2 if one.metric.unit else 4
        between = ""
        if one.interval is not None:
            between = f" ({one.interval.low:+.{digits}f} to {one.interval.high:+.{digits}f})"
        parts.append(f"{one.metric.label} {one.value:+.{digits}f}{between}")
    if not parts:
        return ""
    return f"  {comparison.first} minus {comparison.second}: {', '.join(parts)}"


def describe_seeds(setting: Setting, comparison: Comparison | None) -> str:
    """What the runs of one setting say about the noise between seeds; empty for a single run."""
    mean, spread = setting.mean_accuracy, setting.spread
    if mean is None or spread is None or comparison is None:
        return ""
    num = len(setting.accuracies)
    text = (
        f"{setting.label}: {num} runs that differ by nothing but their seed: accuracy "
        f"{mean:.2f} ± {spread:.2f} % (mean ± standard deviation)."
    )
    if comparison.p is None:
        return f"{text} They cannot be tested: {comparison.note}."
    if comparison.is_significant:
        verdict = (
            f"The best and the worst differ by more than the pictures explain "
            f"({comparison.gap:+.2f} points, {show_p(comparison.p)}): the seed matters here, so "
            "compare means over seeds, not single runs."
        )
    else:
        verdict = (
            f"They are not significantly different (best and worst: {comparison.gap:+.2f} points, "
            f"{show_p(comparison.p)})."
        )
    note = f" Note: {comparison.note}." if comparison.note else ""
    return f"{text} {verdict}{note}"


def describe_all(
    settings: Sequence[Setting],
    comparisons: Sequence[Comparison],
    within: Mapping[str, Comparison | None],
) -> list[str]:
    """All verdicts, and what to keep in mind."""
    lines = [describe_seeds(setting, within.get(setting.label)) for setting in settings]
    lines += [describe(comparison) for comparison in comparisons]
    if any(one.p is not None and one.p_seeds is None for one in comparisons):
        lines.append(f"Keep in mind: {NOISE_UNKNOWN}.")
    if len(comparisons) > 1:
        lines.append(
            f"p-values are corrected for {len(comparisons)} comparisons with the best (Holm)."
        )
    if any((entry.epochs or 0) > 1 for setting in settings for entry in setting.entries):
        lines.append(
            "Each best epoch was chosen on the same validation pictures, so all accuracies are a "
            "little too good."
        )
    return [line for line in lines if line]


def show_p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def signed(interval: Interval) -> str:
    return f"{interval.low:+.2f} to {interval.high:+.2f}"


def content_of(
    settings: Sequence[Setting],
    rows: Sequence[Row],
    comparisons: Sequence[Comparison],
    within: Mapping[str, Comparison | None],
    config: Mapping[str, Sequence[str]],
    notes: Sequence[str],
) -> dict[str, Any]:
    """Everything as plain values, for --json and compare.json."""
    return {
        "confidence": CONFIDENCE,
        "level": LEVEL,
        "settings": [
            {
                "label": setting.label,
                "runs": [entry.name for entry in setting.entries],
                "config": {key: values[i] for key, values in config.items()},
                "accuracy_mean": setting.mean_accuracy,
                "accuracy_std": setting.spread,
                "seeds": None
                if within.get(setting.label) is None
                else plain(within[setting.label]),
            }
            for i, setting in enumerate(settings)
        ],
        "runs": [plain_row(row) for row in rows],
        "comparisons": [plain(comparison) for comparison in comparisons],
        "text": describe_all(settings, comparisons, within),
        "notes": list(notes),
    }


def plain_row(row: Row) -> dict[str, Any]:
    entry = row.entry
    return {
        "name": entry.name,
        "path": str(entry.folder),
        "setting": row.setting,
        "seed": row.seed,
        "status": entry.status,
        "epochs": entry.epochs,
        "best_epoch": entry.best_epoch,
        "pictures": row.num_pictures,
        "groups": None if entry.groups is None else len({*entry.groups.tolist()}),
        "note": entry.note,
        "metrics": {
            metric.name: {"value": value, **ends(interval)}
            for metric, (value, interval) in row.values.items()
        },
    }


def plain(comparison: Comparison | None) -> dict[str, Any]:
    assert comparison is not None
    return {
        "first": comparison.first,
        "second": comparison.second,
        "pictures": comparison.num_pictures,
        "accuracy_difference": comparison.gap,
        "p": comparison.p,
        "p_seeds": comparison.p_seeds,
        "significant": comparison.is_significant,
        "test": comparison.test,
        "note": comparison.note,
        "differences": {
            one.metric.name: {"value": one.value, **ends(one.interval), "p": one.p}
            for one in comparison.differences
        },
        "only_first_right": len(comparison.only_first),
        "only_second_right": len(comparison.only_second),
    }


def ends(interval: Interval | None) -> dict[str, float | None]:
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    return {"low": low, "high": high}
