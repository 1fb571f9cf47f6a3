"""Which images are for training, which for validation, and which for the final test.

Four ways: at random within each class, as one of k folds, without dividing a group (a patient, a
camera, a lot), and by time.
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pochitrain.data.dataset import Labels
from pochitrain.data.split_group import group_folds, group_fraction, require_groups
from pochitrain.data.split_time import cut_by_time
from pochitrain.error import require
from pochitrain.seed import derive_seed
from pochitrain.text import shorten_list

Indices = NDArray[np.int64]

LEFT_BY_TEST = 2
"""Images or groups of each class that the test leaves: one to train on, one for validation."""


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
    """The same seed gives the same split on every machine; test and split by time need none."""


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

    The test part is taken first and depends on `test_fraction` only, not even on the seed: so runs
    with other seeds, folds or `val_fraction` never train on it. Without `groups` and `times` a
    class of two or more images has at least one on either side; a single one is for training.

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
        numbers = np.unique(np.asarray(groups), return_inverse=True)[1]
        return _split_groups(found, rule, numbers, names)
    if times is not None:
        return _split_times(found, rule, times, names)
    test: Indices | None = None
    rest = everything
    if rule.test_fraction is not None:
        test = _random_test(found, rule.test_fraction)
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


def _random_test(labels: Indices, fraction: float) -> Indices:
    """A part of each class that leaves LEFT_BY_TEST images of it."""
    chosen: list[int] = []
    for label, indices in _members(labels):
        random.Random(derive_seed("test", label)).shuffle(indices)
        wanted = max(round(len(indices) * fraction), 1)
        chosen += indices[: max(min(wanted, len(indices) - LEFT_BY_TEST), 0)]
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
    few = [
        f"{names[c]} {counts[c]}"
        for c in np.flatnonzero((counts > 0) & (counts < num_folds)).tolist()
    ]
    least = int(counts[counts > 0].min(initial=num_folds))
    remedy = f"data.num_folds={least} would do." if least > 1 else "Leave such a class out."
    rule = "at most the number of pictures of each class"
    require(not few, "data.num_folds", rule, num_folds, f"{shorten_list(few)}. {remedy}")


# --- without dividing groups ----------------------------------------------------------------------


def _split_groups(
    labels: Indices, rule: SplitRule, groups: Indices, names: Sequence[str]
) -> SplitIndices:
    parts = f"{rule.num_folds} folds" if rule.num_folds else "training and validation"
    parts += " and test" * (rule.test_fraction is not None)
    needed = (rule.num_folds or LEFT_BY_TEST) + (rule.test_fraction is not None)
    require_groups(labels, groups, needed, parts, names)
    everything = np.arange(len(labels))
    test: Indices | None = None
    rest = everything
    if rule.test_fraction is not None:
        seed = derive_seed("test")
        test = group_fraction(labels, groups, rule.test_fraction, seed, names, LEFT_BY_TEST)
        rest = np.setdiff1d(everything, test)
        # The test knows nothing of folds, and may have left a class fewer groups than these.
        needed = rule.num_folds or LEFT_BY_TEST
        require_groups(labels[rest], groups[rest], needed, f"{parts} as large as asked for", names)
    seed = derive_seed(rule.seed, "split")
    if rule.num_folds is not None:
        assert rule.fold is not None
        val = rest[group_folds(labels[rest], groups[rest], rule.num_folds, seed, names)[rule.fold]]
    elif rule.val_fraction is not None:
        share = _share_of_rest(rule.val_fraction, len(labels), len(rest))
        val = rest[group_fraction(labels[rest], groups[rest], share, seed, names)]
    else:
        return SplitIndices(rest, None, test)
    return SplitIndices(np.setdiff1d(rest, val), val, test)


# --- by time --------------------------------------------------------------------------------------


def _split_times(
    labels: Indices, rule: SplitRule, times: NDArray[np.float64], names: Sequence[str]
) -> SplitIndices:
    if rule.num_folds is not None:
        raise ValueError("folds have no order in time")
    shares = [share for share in (rule.val_fraction, rule.test_fraction) if share is not None]
    parts: list[list[Indices]] = [[] for _ in range(1 + len(shares))]
    for label, indices in _members(labels):
        chosen = np.array(indices, np.int64)
        for part, found in zip(
            parts, cut_by_time(times[chosen], shares, names[label]), strict=True
        ):
            part.append(chosen[found])
    done = [np.sort(np.concatenate(part)) for part in parts]
    val = done[1] if rule.val_fraction is not None else None
    return SplitIndices(done[0], val, done[-1] if rule.test_fraction is not None else None)
