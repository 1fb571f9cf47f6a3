"""Tests of differences, against worked values."""

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_ind

from pochitrain.metric.paired import bootstrap_p, holm, mcnemar_mid_p, seed_noise_p


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (0, 0, 1.0),
        (5, 5, 1.0),
        (0, 3, 0.125),  # 2 * 1/8 - 1/8
        (1, 4, 0.21875),  # 2 * 6/32 - 5/32
        (4, 1, 0.21875),
    ],
)
def test_mid_p(first: int, second: int, expected: float) -> None:
    assert mcnemar_mid_p(first, second) == pytest.approx(expected)


def test_mid_p_is_the_exact_one_less_half_of_what_was_seen() -> None:
    exact = binomtest(20, 60).pvalue
    seen = binomtest(20, 60).pvalue - binomtest(19, 60).pvalue  # P(20) + P(40)
    assert mcnemar_mid_p(20, 40) == pytest.approx(exact - seen / 2)


def test_seed_noise() -> None:
    first, second = [90.0, 91.0, 92.0], [93.0, 94.5, 95.0]
    assert seed_noise_p(first, second) == pytest.approx(ttest_ind(first, second).pvalue)
    # One run against three: t = 3 / (1 * sqrt(1 + 1/3)) with 2 degrees of freedom.
    assert seed_noise_p(first, [94.0]) == pytest.approx(0.12168, abs=1e-4)
    assert seed_noise_p([90.0], [91.0]) is None
    assert seed_noise_p([], [91.0, 92.0, 93.0]) is None
    assert seed_noise_p([90.0, 90.0], [90.0]) == 1
    assert seed_noise_p([90.0, 90.0], [91.0]) is None  # no proof that there is no noise


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_bootstrap_never_says_never() -> None:
    assert bootstrap_p(np.ones(1999)) == pytest.approx(0.001)
    assert bootstrap_p(np.array([-1.0, 1.0, 0.0, 0.0])) == 1
