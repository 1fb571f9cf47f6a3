"""A labelled set of images divided into the splits of a data set."""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from pochitrain.data.dataset import DataSplits, ImageDataset, Subset
from pochitrain.data.split import SplitRule, split_indices
from pochitrain.error import ConfigError
from pochitrain.text import shorten_list


def divide(
    dataset: ImageDataset,
    class_names: list[str],
    rule: SplitRule,
    groups: Sequence[str] | None = None,
    times: NDArray[np.float64] | None = None,
) -> DataSplits:
    """Training, validation and test images as `rule` says.

    Args:
        dataset: all images; it is the training split itself if `rule` takes no part of it.
        groups: group of each image; no group is on two sides.
        times: when each was made; the newest are for validation and test.

    Raises:
        ConfigError: if a class is too small for that.
    """
    if rule.val_fraction is None and rule.num_folds is None and rule.test_fraction is None:
        return DataSplits(dataset, None, class_names, skipped=[])
    parts = split_indices(dataset.labels, rule, groups, times, class_names)
    if parts.test is not None:
        require_tested(np.asarray(dataset.labels)[parts.test], class_names)
    names = None if groups is None else np.asarray(groups)

    def take(part: NDArray[np.int64]) -> Subset:
        return Subset(dataset, part, None if names is None else names[part])

    return DataSplits(
        take(parts.train),
        None if parts.val is None else take(parts.val),
        class_names,
        skipped=[],
        test=None if parts.test is None else take(parts.test),
        division=describe(rule, groups, times, [parts.train, parts.val, parts.test]),
        group_digest="" if groups is None else digest(groups),
        train_groups=None if groups is None else [groups[i] for i in parts.train.tolist()],
    )


def require_tested(labels: NDArray[np.integer], class_names: list[str]) -> None:
    """Refuse a test part that lacks a class."""
    lacking = sorted({*range(len(class_names))} - {*labels.tolist()})
    if lacking:
        raise ConfigError(
            "data.test_fraction must be given at least 3 pictures of every class, got fewer of "
            f"{shorten_list([class_names[c] for c in lacking])}. Collect more, or leave it out."
        )


def describe(
    rule: SplitRule,
    groups: Sequence[str] | None,
    times: NDArray[np.float64] | None,
    parts: Sequence[NDArray[np.int64] | None],
) -> str:
    """How the images were divided, in words; empty for the usual validation part."""
    said = [f"fold {rule.fold} of {rule.num_folds}"] if rule.num_folds is not None else []
    if groups is not None:
        codes = np.unique(np.asarray(groups), return_inverse=True)[1]
        counts = [f"{len(np.unique(codes[part])):,}" for part in parts if part is not None]
        said.append(f"{' + '.join(counts)} groups, none of them on two sides")
    if times is not None:
        said.append("the newest pictures of each class are held out")
    return ", ".join(said)


def digest(groups: Sequence[str]) -> str:
    """A hash of the groups of all images, in order."""
    text = "\0".join(groups).encode("utf-8", "surrogateescape")
    return blake2b(text, digest_size=16).hexdigest()
