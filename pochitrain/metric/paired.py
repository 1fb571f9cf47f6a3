"""Whether one of two systems is better on the same pictures, or the difference may be chance."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pochitrain.metric.interval import Floats

LEVEL = 0.05
"""A difference with a smaller p-value is called significant."""


def mcnemar_mid_p(only_first: int, only_second: int) -> float:
    """Two-sided mid-p value of McNemar's test.

    Args:
        only_first: images that the first system has right and the second has wrong.
        only_second: the reverse.

    Source: Fagerland, Lydersen & Laake 2013, who advise it instead of the exact test, which finds
    too little.
    """
    from scipy.stats import binom

    num, fewer = only_first + only_second, min(only_first, only_second)
    return float(2 * binom.cdf(fewer, num, 0.5) - binom.pmf(fewer, num, 0.5))


def bootstrap_p(differences_B: "Floats") -> float:
    """Two-sided p-value of a bootstrap: how often the difference has not its usual sign, twice.

    At least 2 / (B + 1): no draw can show that something never happens.
    """
    below = int((differences_B <= 0).sum())
    above = int((differences_B >= 0).sum())
    return min(1.0, 2 * (min(below, above) + 1) / (len(differences_B) + 1))


def seed_noise_p(first: Sequence[float], second: Sequence[float]) -> float | None:
    """p-value of Student's t-test between the values of the runs of two configs.

    It asks whether their means differ by more than runs of one config do, which differ by nothing
    but their seed. That spread is taken as the same for both, so one of them may be a single run.

    Returns:
        None if nothing is known about that spread: both are single runs, or all runs of a config
        have the same value, as few and coarse ones may by chance.
    """
    from scipy.stats import ttest_ind

    if len(first) + len(second) < 3 or not first or not second:
        return None
    if len({*first}) == 1 and len({*second}) == 1:
        return 1.0 if first[0] == second[0] else None
    return float(ttest_ind(list(first), list(second)).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for asking several times (Holm 1979)."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected
