"""Dividing images by time: the newest of each class are for validation and test."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pochitrain.error import require


def cut_by_time(
    times: NDArray[np.float64], shares: list[float], name: str
) -> list[NDArray[np.int64]]:
    """The images of one class in parts from the oldest to the newest, each as indices.

    A cut is between two different times, the nearest to the share that is wanted, so every image of
    a part is newer than all images of the part before.

    Args:
        times: when each image was made, in any unit.
        shares: 0 < share < 1 of all images that each part but the oldest is given, oldest first.
        name: of the class, for the message.

    Raises:
        ConfigError: if there are fewer different times than parts.
    """
    num_times = len(np.unique(times))
    rule = f"given pictures of at least {1 + len(shares)} different times in each class"
    remedy = "Leave it out, or give the pictures their times."
    seen = f"{num_times} in class {name}"
    require(num_times > len(shares), "data.split_by_time", rule, seen, remedy)
    left = np.argsort(times, kind="stable").astype(np.int64)
    parts: list[NDArray[np.int64]] = []
    for before in range(len(shares), 0, -1):
        cut = choose_cut(times[left], len(times) * shares[before - 1], before)
        parts.insert(0, left[cut:])
        left = left[:cut]
    return [left, *parts]


def choose_cut(times: NDArray[np.float64], wanted: float, least_before: int) -> int:
    """The position between two different times that leaves about `wanted` images after it.

    Args:
        times: ascending.
        least_before: different times that must remain before it.
    """
    between = [i for i, (a, b) in enumerate(pairwise(times.tolist()), 1) if a < b]
    return min(between[least_before - 1 :], key=lambda cut: abs(len(times) - cut - wanted))
