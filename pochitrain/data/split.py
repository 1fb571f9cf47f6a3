"""Which images are for training, which for validation, and which for the final test.

Four ways: at random within each class, as one of k folds, without dividing a group (a patient, a
camera, a lot), and by time.
"""

import random
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pochitrain.data.dataset import Labels
from pochitrain.error import ConfigError, require
from pochitrain.seed import derive_seed
from pochitrain.text import shorten_list

Indices = NDArray[np.int64]

MAX_BLOCKS = 20
"""Most blocks of groups that a fraction is put together from: 0.35 is 7 of 20."""
MAX_SHUFFLES = 20
"""How often groups are shuffled again before a class is said not to fit on every side."""


@dataclass
class SplitRule:
    """How labelled images are divided. All parts of a class are rounded to whole images."""

    val_fraction: float | None = None
    """0 < fraction < 1 of all images for validation; not used with `num_folds`."""
    test_fraction: float | None = None
    """0 < fraction < 1 of all images that are kept for the test at the end."""
    num_folds: int | None = None
    """Validation is one of so many parts (>= 2) of all images but those of the test."""
    fold: int | None = None
    """Which of them, from 0."""
    seed: int = 0
    """The same seed gives the same split on every machine; a split by time needs none."""

    @property
    def num_parts(self) -> int:
        """Parts that training and validation need of each class."""
        return self.num_folds or 1 + (self.val_fraction is not None)


@dataclass
class SplitIndices:
    """Ascending indices, int64, without any in common; together they are all images."""

    train: Indices
    val: Indices | None
    """None where no validation was asked for."""
    test: Indices | None
    """None where no test was asked for."""


def split_indices(
    labels: Labels,
    rule: SplitRule,
    groups: Sequence[str] | None = None,
    times: NDArray[np.float64] | None = None,
    class_names: Sequence[str] | None = None,
) -> SplitIndices:
    """Divide images as `rule` says, each class in the same proportion.

    The test part is taken first and depends on seed and `test_fraction` only, so it is the same for
    every fold and every `val_fraction`. Without `groups` and `times` a class of two or more images
    has at least one on either side; a single one is for training.

    Args:
        labels: class index of each image.
        groups: group of each image. No group is on two sides; every class is on all sides.
        times: when each image was made, in any unit. The newest images of each class are for the
            test, the newest of the others for validation; images of one time stay together.
        class_names: for messages.

    Raises:
        ConfigError: if a class has too few images, groups or times for that.
    """
    if groups is not None and times is not None:
        raise ValueError("either groups or times")
    found = np.asarray(labels, np.int64)
    names = class_names or [str(label) for label in range(int(found.max(initial=-1)) + 1)]
    everything = np.arange(len(found))
    if groups is not None:
        return _split_groups(
            found, rule, np.unique(np.asarray(groups), return_inverse=True)[1], names
        )
    if times is not None:
        return _split_times(found, rule, times, names)
    test: Indices | None = None
    rest = everything
    if rule.test_fraction is not None:
        test = _random_test(found, rule)
        rest = np.setdiff1d(everything, test)
    if rule.num_folds is not None:
        val = rest[_random_fold(found[rest], rule, names)]
    elif rule.val_fraction is not None:
        share = _share_of_rest(rule.val_fraction, len(found), len(rest))
        val = rest[stratified_split(found[rest], share, rule.seed)[1]]
    else:
        return SplitIndices(rest, None, test)
    return SplitIndices(np.setdiff1d(rest, val), val, test)


def _share_of_rest(fraction: float, num_all: int, num_rest: int) -> float:
    """The part of the images left by the test that makes up `fraction` of all images."""
    return fraction if num_all == num_rest else fraction * num_all / num_rest


def stratified_split(labels: Labels, val_fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Indices of the training and the validation part, each class split in the same proportion.

    A class of two or more images has at least one on either side; a single one is for training.

    Args:
        labels: class of each image.
        val_fraction: 0 < fraction < 1 that goes to validation, rounded per class.
        seed: the same seed gives the same split on every machine.
    """
    train, val = [], []
    for label, indices in _members(np.asarray(labels)):
        random.Random(derive_seed(seed, "split", label)).shuffle(indices)
        num_val = min(max(round(len(indices) * val_fraction), 1), len(indices) - 1)
        val += indices[:num_val]
        train += indices[num_val:]
    return sorted(train), sorted(val)


def _members(labels: NDArray[np.integer]) -> Iterator[tuple[int, list[int]]]:
    """(class, indices of its images), by class."""
    members: dict[int, list[int]] = defaultdict(list)
    for index, label in enumerate(labels.tolist()):
        members[label].append(index)
    yield from sorted(members.items())


# --- at random ------------------------------------------------------------------------------------


def _random_test(labels: Indices, rule: SplitRule) -> Indices:
    """A part of each class, but no image that training and validation need."""
    assert rule.test_fraction is not None
    chosen: list[int] = []
    for label, indices in _members(labels):
        random.Random(derive_seed(rule.seed, "test", label)).shuffle(indices)
        wanted = max(round(len(indices) * rule.test_fraction), 1)
        chosen += indices[: max(min(wanted, len(indices) - rule.num_parts), 0)]
    return np.array(sorted(chosen), np.int64)


def _random_fold(labels: Indices, rule: SplitRule, names: Sequence[str]) -> Indices:
    """The images of fold `rule.fold`: each class is dealt out where the one before has ended.

    So the folds differ by one image at most, and by one image of each class.
    """
    assert rule.num_folds is not None and rule.fold is not None
    _require_enough(np.bincount(labels, minlength=len(names)), rule.num_folds, names)
    chosen: list[int] = []
    dealt = 0
    for label, indices in _members(labels):
        random.Random(derive_seed(rule.seed, "split", label)).shuffle(indices)
        chosen += indices[(rule.fold - dealt) % rule.num_folds :: rule.num_folds]
        dealt += len(indices)
    return np.array(sorted(chosen), np.int64)


def _require_enough(counts: Indices, num_folds: int, names: Sequence[str]) -> None:
    """Every class that occurs must have an image for each fold."""
    few = [f"{names[c]} {counts[c]}" for c in np.flatnonzero((counts > 0) & (counts < num_folds))]
    least = int(counts[counts > 0].min(initial=num_folds))
    remedy = f"data.num_folds={least} would do." if least > 1 else "Leave such a class out."
    rule = "at most the number of pictures of each class"
    require(not few, "data.num_folds", rule, num_folds, f"{shorten_list(few)}. {remedy}")


# --- groups ---------------------------------------------------------------------------------------


def _split_groups(
    labels: Indices, rule: SplitRule, groups: Indices, names: Sequence[str]
) -> SplitIndices:
    everything = np.arange(len(labels))
    num_groups = _groups_per_class(labels, groups, len(names))
    needed = rule.num_parts + (rule.test_fraction is not None)
    few = np.flatnonzero((num_groups > 0) & (num_groups < needed))
    if len(few):
        parts = "training and validation" if rule.num_folds is None else f"{rule.num_folds} folds"
        parts += " and test" * (rule.test_fraction is not None)
        raise ConfigError(
            f"data.group_by must give every class at least {needed} groups, for {parts}, got "
            f"{shorten_list([f'{names[c]} {num_groups[c]}' for c in few])}. Collect more, ask for "
            "fewer parts, leave such a class out, or group by something finer."
        )
    test: Indices | None = None
    rest = everything
    if rule.test_fraction is not None:
        seed = derive_seed(rule.seed, "test")
        left = rule.num_parts
        test = _group_fraction(labels, groups, rule.test_fraction, seed, names, left)
        rest = np.setdiff1d(everything, test)
    seed = derive_seed(rule.seed, "split")
    if rule.num_folds is not None:
        assert rule.fold is not None
        val = rest[_group_folds(labels[rest], groups[rest], rule.num_folds, seed, names)[rule.fold]]
    elif rule.val_fraction is not None:
        share = _share_of_rest(rule.val_fraction, len(labels), len(rest))
        val = rest[_group_fraction(labels[rest], groups[rest], share, seed, names)]
    else:
        return SplitIndices(rest, None, test)
    return SplitIndices(np.setdiff1d(rest, val), val, test)


def _groups_per_class(labels: Indices, groups: Indices, num_classes: int) -> Indices:
    """Number of different groups in which each class occurs, shape (num_classes,)."""
    pairs = np.unique(np.stack([labels, groups]), axis=1)
    return np.bincount(pairs[0], minlength=num_classes)


def _deal_groups(labels: Indices, groups: Indices, num_blocks: int, seed: int) -> list[Indices]:
    """Whole groups dealt into blocks that have about the same share of each class.

    Returns:
        Indices of the images of each block; one can be empty where groups are few.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # takes longer to import than torch

    dealer = StratifiedGroupKFold(num_blocks, shuffle=True, random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class with fewer images than blocks
        return [np.sort(held) for _, held in dealer.split(labels, labels, groups)]


def _group_folds(
    labels: Indices, groups: Indices, num_folds: int, seed: int, names: Sequence[str]
) -> list[Indices]:
    """Folds of whole groups, each with every class.

    Raises:
        ConfigError: if groups cannot be dealt like that.
    """
    for attempt in range(MAX_SHUFFLES):
        folds = _deal_groups(labels, groups, num_folds, derive_seed(seed, attempt))
        lacking = {c for fold in folds for c in np.setdiff1d(labels, labels[fold]).tolist()}
        if not lacking:
            return folds
    raise ConfigError(_cannot_divide([names[c] for c in sorted(lacking)], f"{num_folds} folds"))


def _group_fraction(
    labels: Indices,
    groups: Indices,
    fraction: float,
    seed: int,
    names: Sequence[str],
    groups_left: int = 1,
) -> Indices:
    """Images of whole groups, about `fraction` of each class.

    Args:
        groups_left: groups of each class that must remain on the other side.

    Raises:
        ConfigError: if no choice that was tried leaves every class on both sides.
    """
    num_images = np.bincount(labels)
    present = np.flatnonzero(num_images)
    most = max(min(MAX_BLOCKS, len(np.unique(groups)), int(num_images.max())), 2)
    part = Fraction(fraction).limit_denominator(most)
    part = min(max(part, Fraction(1, most)), Fraction(most - 1, most))
    lacking: list[int] = []
    for attempt in range(MAX_SHUFFLES):
        blocks = _deal_groups(labels, groups, part.denominator, derive_seed(seed, attempt))
        best: tuple[float, Indices] | None = None
        for first in range(part.denominator):
            turned = [*blocks[first:], *blocks[:first]]
            chosen = np.sort(np.concatenate(turned[: part.numerator]))
            others = np.setdiff1d(np.arange(len(labels)), chosen)
            share = np.bincount(labels[chosen], minlength=len(num_images))[present]
            left = _groups_per_class(labels[others], groups[others], len(num_images))[present]
            bad = present[(share == 0) | (left < groups_left)].tolist()
            if bad:
                lacking = bad
                continue
            error = float(np.abs(share / num_images[present] - fraction).sum())
            if best is None or error < best[0]:
                best = (error, chosen)
        if best is not None:
            return best[1]
    raise ConfigError(_cannot_divide([names[c] for c in lacking], f"{fraction:.3g} and the rest"))


def _cannot_divide(classes: list[str], into: str) -> str:
    return (
        f"data.group_by must give groups that can be divided into {into} so that every class is "
        f"on each side, got groups for which no such division was found ({shorten_list(classes)}). "
        "Ask for fewer or larger parts, or group by something finer."
    )


# --- time -----------------------------------------------------------------------------------------


def _split_times(
    labels: Indices, rule: SplitRule, times: NDArray[np.float64], names: Sequence[str]
) -> SplitIndices:
    """The oldest images of each class, the newer, and the newest."""
    if rule.num_folds is not None:
        raise ValueError("folds have no order in time")
    parts: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    shares = {"test": rule.test_fraction, "val": rule.val_fraction}
    for label, indices in _members(labels):
        left = np.array(sorted(indices, key=lambda i: (times[i], i)), np.int64)
        wanted = {side: share for side, share in shares.items() if share is not None}
        num_times = len(np.unique(times[left]))
        require(
            num_times > len(wanted),
            "data.split_by_time",
            "given pictures of several times in each class, more than parts to take",
            f"{num_times} in class {names[label]}",
            "Date them, or leave data.split_by_time out.",
        )
        for side, share in wanted.items():
            wanted_after = len(wanted) - list(wanted).index(side)
            cut = _cut(times[left], len(indices) * share, wanted_after)
            parts[side] += left[cut:].tolist()
            left = left[:cut]
        parts["train"] += left.tolist()
    done = {side: np.array(sorted(found), np.int64) for side, found in parts.items()}
    return SplitIndices(
        done["train"],
        None if rule.val_fraction is None else done["val"],
        None if rule.test_fraction is None else done["test"],
    )


def _cut(times: NDArray[np.float64], wanted: float, least_before: int) -> int:
    """The position between two different times that leaves about `wanted` images after it.

    Args:
        times: ascending.
        least_before: different times that must remain before it.
    """
    between = [i for i, (a, b) in enumerate(pairwise(times.tolist()), 1) if a < b]
    return min(between[least_before - 1 :], key=lambda cut: abs(len(times) - cut - wanted))
