"""Two settings on the pictures that both were validated on: is the difference more than chance?"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from pochitrain.metric.interval import (
    ABSENT,
    Interval,
    bootstrap,
    evaluate,
    mean_confusion,
    percentile_interval,
)
from pochitrain.metric.metric import Metric
from pochitrain.metric.paired import LEVEL, bootstrap_p, holm, mcnemar_mid_p, seed_noise_p
from pochitrain.metric.table import METRICS
from pochitrain.run.compare.entry import Entry
from pochitrain.run.compare.setting import Setting

COMPARED = tuple(metric for name, metric in METRICS.items() if name != "val_loss")
"""Accuracy first: it decides which setting counts as the best."""
MIN_PICTURES = 30
"""With fewer pictures in common there is nothing to test."""


@dataclass
class Difference:
    """First minus second, on the common pictures, in the unit of the metric."""

    metric: Metric
    value: float
    interval: Interval | None
    """None where no draw of the bootstrap differs from another."""
    p: float
    """Of the pictures: from McNemar's test or the bootstrap."""


@dataclass
class Answer:
    """A picture that one has right and the other wrong."""

    picture: str
    true: str
    first: str
    """The class that most runs of the first predict."""
    second: str


@dataclass
class Comparison:
    """Two settings. Without common pictures, all but the labels and `note` is empty."""

    first: str
    second: str
    num_pictures: int = 0
    """That both were validated on."""
    note: str = ""
    """Why nothing can be tested, or what to keep in mind."""
    test: str = ""
    gap: float = float("nan")
    """Accuracy of the first minus that of the second, percentage points."""
    differences: list[Difference] = field(default_factory=list)
    only_first: list[Answer] = field(default_factory=list)
    only_second: list[Answer] = field(default_factory=list)
    p_seeds: float | None = None
    """Of the noise between runs of one setting; None if nothing is known about it."""
    p: float | None = None
    """Of the accuracy: the larger one of pictures and seeds, corrected for the number of
    comparisons."""

    @property
    def is_significant(self) -> bool:
        return self.p is not None and self.p < LEVEL


def compare_settings(settings: Sequence[Setting]) -> list[Comparison]:
    """The setting with the best mean accuracy against each of the others.

    p-values are corrected for the number of comparisons (Holm).
    """
    known = [setting for setting in settings if setting.mean_accuracy is not None]
    if not known:
        return []
    best = max(known, key=lambda setting: setting.mean_accuracy or 0.0)
    others = [setting for setting in known if setting is not best]
    found = [compare(best, other) for other in others]
    tested = [one for one in found if one.p is not None]
    for one, p in zip(tested, holm([one.p or 0.0 for one in tested]), strict=True):
        one.p = p
    return found


def compare_seeds(setting: Setting) -> Comparison | None:
    """The best run of a setting against its worst; None if it has no two with predictions.

    The p-value is corrected for the number of pairs, of which this is the most different one.
    """
    runs = [entry for entry in setting.entries if entry.accuracy is not None]
    if len(runs) < 2:
        return None
    order = sorted(runs, key=lambda entry: entry.accuracy or 0.0)
    first, second = order[-1], order[0]
    found = compare(Setting(first.name, [first]), Setting(second.name, [second]))
    if found.p is not None:
        found.p = min(1.0, found.p * len(runs) * (len(runs) - 1) / 2)
    return found


def compare(first: Setting, second: Setting) -> Comparison:
    """Test two settings on their common pictures."""
    found = Comparison(first.label, second.label)
    sides = [[e for e in side.entries if e.found is not None] for side in (first, second)]
    entries = [*sides[0], *sides[1]]
    names = class_names_of(entries[0])
    if any(class_names_of(entry) != names for entry in entries):
        found.note = "their classes differ: only the metrics of each can be read"
        return found
    pictures, labels, systems, num_relabelled = align(*sides)
    found.num_pictures = len(pictures)
    notes = []
    if num_relabelled:
        notes.append(f"{num_relabelled:,} pictures have another class in one of them: left out")
    all_pictures = {picture for entry in entries for picture in entry.pictures}
    if len(pictures) < MIN_PICTURES:
        notes.insert(
            0,
            f"only {len(pictures):,} validation pictures in common: only the metrics of each can "
            "be read. To compare, validate on the same pictures (data.seed, data.val_root)",
        )
        found.note = "; ".join(notes)
        found.gap = fmean(first.accuracies) - fmean(second.accuracies)
        found.p = found.p_seeds = seed_noise_p(first.accuracies, second.accuracies)
        found.test = "t-test between the runs" if found.p is not None else ""
        return found
    if len(pictures) < len(all_pictures):
        notes.append(
            f"validated on different pictures: compared on the {len(pictures):,} of "
            f"{len(all_pictures):,} that both have"
        )
    found.note = "; ".join(notes)
    groups = common_groups(pictures, entries)
    found.differences = differences(labels, systems, len(names), groups)
    right = [share_right(labels, system) for system in systems]
    found.only_first, found.only_second = (
        answers(pictures, labels, systems, names, better > 0.5, worse < 0.5)
        for better, worse in (right, right[::-1])
    )
    found.gap = found.differences[0].value
    single = all(len(system) == 1 for system in systems) and groups is None
    if single:
        exact = mcnemar_mid_p(len(found.only_first), len(found.only_second))
        found.differences[0].p = exact
    unit = "pictures" if groups is None else f"{len(np.unique(groups)):,} groups of pictures"
    found.test = "McNemar's test (mid-p)" if single else f"paired bootstrap over {unit}"
    found.p_seeds = seed_noise_p(first.accuracies, second.accuracies)
    # Better only if the difference is larger than both kinds of noise.
    found.p = max(found.differences[0].p, found.p_seeds or 0.0)
    return found


def class_names_of(entry: Entry) -> list[str]:
    return [] if entry.found is None else entry.found.class_names


def align(
    first: Sequence[Entry], second: Sequence[Entry]
) -> tuple[list[str], NDArray[np.int64], list[NDArray[np.int64]], int]:
    """The pictures that a run of either side was validated on, in the order of the first.

    Returns:
        The pictures; their true classes, shape (N,); what each run of both sides predicts, shape
        (R, N), ABSENT where it was not asked; the number of pictures left out because runs do not
        agree on their class.
    """
    tables = [[table_of(entry) for entry in side] for side in (first, second)]
    everywhere = [dict.fromkeys(p for table in side for p in table) for side in tables]
    common = [picture for picture in everywhere[0] if picture in everywhere[1]]
    truths = {
        picture: {table[picture][0] for side in tables for table in side if picture in table}
        for picture in common
    }
    agreed = [picture for picture in common if len(truths[picture]) == 1]
    labels = np.array([next(iter(truths[picture])) for picture in agreed], np.int64)
    nothing = (ABSENT, ABSENT)
    systems = [
        np.array([[table.get(p, nothing)[1] for p in agreed] for table in side], np.int64)
        for side in tables
    ]
    return agreed, labels, systems, len(common) - len(agreed)


def table_of(entry: Entry) -> dict[str, tuple[int, int]]:
    """Picture -> (true class, predicted class)."""
    assert entry.found is not None
    pairs = zip(entry.found.labels.tolist(), entry.predicted.tolist(), strict=True)
    return dict(zip(entry.pictures, pairs, strict=True))


def common_groups(pictures: Sequence[str], entries: Sequence[Entry]) -> NDArray[np.str_] | None:
    """The group of each picture, by any run that knows it; None unless all are known."""
    known = {
        picture: str(group)
        for entry in entries
        if entry.groups is not None
        for picture, group in zip(entry.pictures, entry.groups, strict=True)
    }
    if any(picture not in known for picture in pictures):
        return None
    return np.array([known[picture] for picture in pictures])


def differences(
    labels: NDArray[np.int64],
    systems: Sequence[NDArray[np.int64]],
    num_classes: int,
    groups: NDArray[np.str_] | None,
) -> list[Difference]:
    """First minus second in each metric, with a paired bootstrap."""
    values = [evaluate(COMPARED, mean_confusion(labels, s, num_classes)) for s in systems]
    draws = bootstrap(labels, systems, COMPARED, num_classes, groups)
    by_metric = (draws[:, 0] - draws[:, 1]).T
    return [
        Difference(metric, one - other, percentile_interval(drawn), bootstrap_p(drawn))
        for metric, one, other, drawn in zip(COMPARED, *values, by_metric, strict=True)
    ]


def share_right(labels: NDArray[np.int64], system: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of the runs that were asked about a picture, the part that is right; shape (N,)."""
    share: NDArray[np.float64] = (system == labels).sum(axis=0) / (system != ABSENT).sum(axis=0)
    return share


def answers(
    pictures: Sequence[str],
    labels: NDArray[np.int64],
    systems: Sequence[NDArray[np.int64]],
    names: Sequence[str],
    *conditions: NDArray[np.bool_],
) -> list[Answer]:
    """The pictures at which all conditions, each of shape (N,), hold."""
    found = []
    for index in np.flatnonzero(np.logical_and.reduce(conditions)).tolist():
        first, second = (names[most_said(system[:, index])] for system in systems)
        found.append(Answer(pictures[index], names[int(labels[index])], first, second))
    return found


def most_said(predicted: NDArray[np.int64]) -> int:
    """The class that most runs predict; of several, the first in order."""
    said, counts = np.unique(predicted[predicted != ABSENT], return_counts=True)
    return int(said[counts.argmax()])
