"""Splitting labelled images into training and validation."""

import random
from collections import defaultdict

import numpy as np

from pochitrain.data.dataset import Labels
from pochitrain.seed import derive_seed


def stratified_split(labels: Labels, val_fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Indices of the training and the validation part, each class split in the same proportion.

    A class of two or more images has at least one on either side; a single one is for training.

    Args:
        labels: class of each image.
        val_fraction: 0 < fraction < 1 that goes to validation, rounded per class.
        seed: the same seed gives the same split on every machine.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for index, label in enumerate(np.asarray(labels).tolist()):
        members[label].append(index)
    train, val = [], []
    for label, indices in sorted(members.items()):
        random.Random(derive_seed(seed, "split", label)).shuffle(indices)
        num_val = min(max(round(len(indices) * val_fraction), 1), len(indices) - 1)
        val += indices[:num_val]
        train += indices[num_val:]
    return sorted(train), sorted(val)
