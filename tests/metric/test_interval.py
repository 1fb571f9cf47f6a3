"""Intervals against scipy and by what they promise; paired tests against worked values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest
from scipy.stats import bootstrap as scipy_bootstrap
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, f1_score

from pochitrain.metric.interval import (
    ABSENT,
    Interval,
    bootstrap,
    mean_confusion,
    percentile_interval,
    proportion_interval,
    wilson_interval,
)
from pochitrain.metric.metric import Metric
from pochitrain.metric.table import METRICS

Integers = NDArray[np.int64]

ACCURACY = METRICS["val_accuracy"]
BALANCED = METRICS["val_balanced_accuracy"]
MACRO_F1 = METRICS["val_macro_f1"]
SHARES = np.array([0.5, 0.3, 0.15, 0.05])


def predict(generator: np.random.Generator, num: int) -> tuple[Integers, Integers]:
    """True and predicted classes of a classifier that is better at frequent classes."""
    labels = generator.choice(4, num, p=SHARES)
    right = generator.random(num) < np.array([0.95, 0.9, 0.8, 0.7])[labels]
    return labels, np.where(right, labels, (labels + generator.integers(1, 4, num)) % 4)


@given(num=st.integers(1, 5000), share=st.floats(0, 1))
def test_wilson_is_that_of_scipy(num: int, share: float) -> None:
    right = round(share * num)
    found = wilson_interval(right, num)
    expected = binomtest(right, num).proportion_ci(0.95, method="wilson")
    assert (found.low, found.high) == pytest.approx(
        (100 * expected.low, 100 * expected.high), abs=1e-9
    )
    assert found.low <= 100 * right / num <= found.high


def test_the_bootstrap_is_that_of_scipy() -> None:
    labels, found = predict(np.random.default_rng(1), 400)
    values = bootstrap(labels, [found[None]], [BALANCED, MACRO_F1], 4)
    assert values.shape == (2000, 1, 2)
    for column, reference in enumerate(
        (
            lambda a, b: 100 * balanced_accuracy_score(a, b),
            lambda a, b: f1_score(a, b, average="macro"),
        )
    ):
        expected = scipy_bootstrap(
            (labels, found),
            reference,
            paired=True,
            vectorized=False,
            n_resamples=500,
            method="percentile",
            rng=np.random.default_rng(2),
        ).confidence_interval
        mine = percentile_interval(values[:, 0, column])
        assert mine is not None
        width = expected.high - expected.low
        assert mine.low == pytest.approx(expected.low, abs=0.12 * width)
        assert mine.high == pytest.approx(expected.high, abs=0.12 * width)


def test_a_seed_gives_the_same_interval_again() -> None:
    labels, found = predict(np.random.default_rng(1), 100)
    first, second = (bootstrap(labels, [found[None]], [MACRO_F1], 4) for _ in range(2))
    assert (first == second).all()
    assert (bootstrap(labels, [found[None]], [MACRO_F1], 4, seed=1) != first).any()


@pytest.mark.parametrize(("metric", "truth"), [(ACCURACY, 0.9), (BALANCED, 0.8375)])
def test_intervals_hold_the_true_value_as_often_as_they_say(metric: Metric, truth: float) -> None:
    """Of 200 validation sets, at least 93 % of the intervals hold what is true of all pictures."""
    generator = np.random.default_rng(3)
    if metric is ACCURACY:
        truth = float(SHARES @ [0.95, 0.9, 0.8, 0.7])
    hits = 0
    for _ in range(200):
        labels, found = predict(generator, 500)
        if metric is ACCURACY:
            interval: Interval | None = wilson_interval(int((labels == found).sum()), 500)
        else:
            values = bootstrap(labels, [found[None]], [metric], 4)
            interval = percentile_interval(values[:, 0, 0])
        assert interval is not None
        hits += interval.low <= 100 * truth <= interval.high
    assert hits >= 186


def test_real_digits_judged_on_a_hidden_part() -> None:
    """Of 100 validation sets of 200 digits, at least 93 say where the accuracy on 1,297 lies."""
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    train, hidden = order[:500], order[500:]
    model = LogisticRegression(max_iter=500, C=0.01).fit(pixels[train], labels[train])
    right = model.predict(pixels[hidden]) == labels[hidden]
    truth = 100 * right.mean()
    assert 85 < truth < 98
    generator = np.random.default_rng(5)
    hits = 0
    for _ in range(100):
        interval = proportion_interval(generator.choice(right, 200), None)
        hits += interval.low <= truth <= interval.high
    assert hits >= 93


def clustered(generator: np.random.Generator, num_groups: int) -> NDArray[np.bool_]:
    """Whether each of ten pictures of each group is right; groups are easy or hard. Mean 0.8."""
    return np.repeat(generator.random(num_groups) < 0.8, 10) ^ (
        generator.random(10 * num_groups) < 0.05
    )


def test_groups_count_and_not_their_pictures() -> None:
    """With pictures that err together, only the intervals by groups keep their promise."""
    generator = np.random.default_rng(6)
    truth = 100 * (0.8 * 0.95 + 0.2 * 0.05)
    groups = np.repeat(np.arange(60), 10).astype(str)
    by_groups = by_pictures = 0
    for _ in range(100):
        right = clustered(generator, 60)
        found = proportion_interval(right, groups)
        by_groups += found.low <= truth <= found.high
        naive = proportion_interval(right, None)
        by_pictures += naive.low <= truth <= naive.high
    assert by_groups >= 90
    assert by_pictures <= 70


def test_where_the_pictures_say_nothing_there_is_no_interval() -> None:
    labels = np.array([0, 1] * 20)
    assert percentile_interval(bootstrap(labels, [labels[None]], [BALANCED], 2)[:, 0, 0]) is None
    perfect = proportion_interval(np.ones(40, bool), None)
    assert perfect.high == 100
    assert 90 < perfect.low < 92  # 100 / (1 + 1.96 ** 2 / 40)
    by_group = proportion_interval(np.ones(40, bool), np.repeat(np.arange(4), 10))
    assert by_group == wilson_interval(4, 4)


def test_models_that_together_count_as_one() -> None:
    labels = np.array([0, 1, 1])
    answers = np.array([[0, 1, 0], [1, 1, ABSENT]])  # the third picture was for one of them only
    assert mean_confusion(labels, answers, 2).tolist() == [[1, 1], [2, 2]]  # times two
    alone = bootstrap(labels, [answers[:1]], [ACCURACY], 2)[:, 0, 0]
    assert set(np.round(alone, 6)) <= {0, 33.333333, 66.666667, 100}


def test_differences_are_paired() -> None:
    """Two systems that err on the same pictures differ by nothing in every draw."""
    labels, found = predict(np.random.default_rng(8), 300)
    values = bootstrap(labels, [found[None], found[None]], [ACCURACY, MACRO_F1], 4)
    assert (values[:, 0] == values[:, 1]).all()
    assert values[:, 0, 0].std() > 0
