"""Dividing images without dividing a group (a patient, a camera, a lot) of them."""

import warnings
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from pochitrain.error import ConfigError
from pochitrain.seed import derive_seed
from pochitrain.text import shorten_list

Indices = NDArray[np.int64]

MAX_BLOCKS = 20
"""Most blocks of groups that a fraction is put together from: 0.35 is 7 of 20."""
MAX_SHUFFLES = 20
"""How often groups are shuffled again before a class is said not to fit on every side."""


def require_groups(
    labels: Indices, groups: Indices, needed: int, parts: str, names: Sequence[str]
) -> None:
    """Refuse a class that occurs in fewer groups than there are parts.

    Args:
        parts: what they are, for the message.

    Raises:
        ConfigError: naming the classes.
    """
    num_groups = groups_per_class(labels, groups, len(names))
    few = np.flatnonzero((num_groups > 0) & (num_groups < needed))
    if len(few):
        seen = shorten_list([f"{names[c]} {num_groups[c]}" for c in few.tolist()])
        raise ConfigError(
            f"data.group_by must give every class at least {needed} groups, for {parts}, got "
            f"{seen}. Collect more, ask for fewer parts, leave such a class out, or group by "
            "something finer."
        )


def groups_per_class(labels: Indices, groups: Indices, num_classes: int) -> Indices:
    """Number of different groups in which each class occurs, shape (num_classes,)."""
    pairs = np.unique(np.stack([labels, groups]), axis=1)
    return np.bincount(pairs[0], minlength=num_classes)


def deal_groups(labels: Indices, groups: Indices, num_blocks: int, seed: int) -> list[Indices]:
    """Whole groups dealt into blocks that have about the same share of each class.

    Returns:
        Indices of the images of each block; one can be empty where groups are few.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # takes longer to import than torch

    dealer = StratifiedGroupKFold(num_blocks, shuffle=True, random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class with fewer images than blocks
        return [np.sort(held) for _, held in dealer.split(labels, labels, groups)]


def group_folds(
    labels: Indices, groups: Indices, num_folds: int, seed: int, names: Sequence[str]
) -> list[Indices]:
    """Folds of whole groups, each with every class.

    Raises:
        ConfigError: if groups cannot be dealt like that.
    """
    for attempt in range(MAX_SHUFFLES):
        folds = deal_groups(labels, groups, num_folds, derive_seed(seed, attempt))
        lacking = {c for fold in folds for c in np.setdiff1d(labels, labels[fold]).tolist()}
        if not lacking:
            return folds
    raise ConfigError(cannot_divide([names[c] for c in sorted(lacking)], f"{num_folds} folds"))


def group_fraction(
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
        blocks = deal_groups(labels, groups, part.denominator, derive_seed(seed, attempt))
        best: tuple[float, Indices] | None = None
        for first in range(part.denominator):
            turned = [*blocks[first:], *blocks[:first]]
            chosen = np.sort(np.concatenate(turned[: part.numerator]))
            others = np.setdiff1d(np.arange(len(labels)), chosen)
            share = np.bincount(labels[chosen], minlength=len(num_images))[present]
            left = groups_per_class(labels[others], groups[others], len(num_images))[present]
            bad = present[(share == 0) | (left < groups_left)].tolist()
            if bad:
                lacking = bad
                continue
            error = float(np.abs(share / num_images[present] - fraction).sum())
            if best is None or error < best[0]:
                best = (error, chosen)
        if best is not None:
            return best[1]
    raise ConfigError(cannot_divide([names[c] for c in lacking], f"{fraction:.3g} and the rest"))


def cannot_divide(classes: list[str], into: str) -> str:
    return (
        f"data.group_by must give groups that can be divided into {into} so that every class is "
        f"on each side, got groups for which no such division was found ({shorten_list(classes)}). "
        "Ask for fewer or larger parts, or group by something finer."
    )
