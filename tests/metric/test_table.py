"""Every metric against scikit-learn, on drawn confusion matrices. To add a metric, add its row."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from pochitrain.engine.evaluate import rank_of_truth
from pochitrain.metric.metric import Evaluation
from pochitrain.metric.table import METRICS, find_metric

Labels = np.ndarray


def f1(average: str) -> Callable[[Labels, Labels], float]:
    return lambda true, found: sklearn.f1_score(true, found, average=average, zero_division=0)


def recalls(true: Labels, found: Labels) -> np.ndarray:
    present = np.unique(true)
    return sklearn.recall_score(true, found, labels=present, average=None, zero_division=0)


EXPECTED: dict[str, Callable[[Labels, Labels], float]] = {
    "val_accuracy": lambda true, found: 100 * sklearn.accuracy_score(true, found),
    "val_balanced_accuracy": lambda *both: 100 * sklearn.balanced_accuracy_score(*both),
    "val_macro_f1": f1("macro"),
    "val_weighted_f1": f1("weighted"),
    "val_worst_class_recall": lambda *both: 100 * recalls(*both).min(),
    "val_mcc": sklearn.matthews_corrcoef,
}
WITHOUT_CONFUSION = {"val_loss"}


@st.composite
def confusions(draw: st.DrawFn) -> np.ndarray:
    """Classes without images, classes that are never predicted, a single class: all of it."""
    side = draw(st.integers(1, 6))
    cells = draw(st.lists(st.integers(0, 9), min_size=side**2, max_size=side**2))
    confusion = np.array(cells, dtype=np.int64).reshape(side, side)
    for row in draw(st.sets(st.integers(0, side - 1), max_size=side - 1)):
        confusion[row] = 0
    for column in draw(st.sets(st.integers(0, side - 1), max_size=side - 1)):
        confusion[:, column] = 0
    if confusion.sum() == 0:
        confusion[draw(st.integers(0, side - 1)), draw(st.integers(0, side - 1))] = 1
    return confusion


def as_labels(confusion: np.ndarray) -> tuple[Labels, Labels]:
    """One true and one found label per image of the matrix."""
    true, found = np.indices(confusion.shape).reshape(2, -1)
    counts = confusion.ravel()
    return np.repeat(true, counts), np.repeat(found, counts)


def test_every_metric_has_a_row() -> None:
    assert set(EXPECTED) | WITHOUT_CONFUSION == set(METRICS)


@pytest.mark.parametrize("name", EXPECTED)
@settings(max_examples=60, deadline=None)
@given(confusion=confusions())
def test_agrees_with_scikit_learn(name: str, confusion: np.ndarray) -> None:
    compute = METRICS[name].compute
    assert compute is not None
    found = compute(Evaluation(0.0, confusion))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about classes that are only predicted
        expected = EXPECTED[name](*as_labels(confusion))
    assert type(found) is float
    assert found == pytest.approx(expected, abs=1e-9)


def test_large_counts_do_not_overflow() -> None:
    confusion = np.array([[3 * 10**9, 10**9], [10**9, 3 * 10**9]])
    compute = METRICS["val_mcc"].compute
    assert compute is not None
    assert compute(Evaluation(0.0, confusion)) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("name", "higher", "unit"),
    [
        ("val_accuracy", True, "%"),
        ("val_loss", False, ""),
        ("val_worst_class_recall", True, "%"),
        ("val_top7_accuracy", True, "%"),
        ("train_loss", False, ""),
        ("train_accuracy", True, "%"),
        ("ema_val_loss", False, ""),
        ("ema_val_top5_accuracy", True, "%"),
    ],
)
def test_direction_and_unit(name: str, higher: bool, unit: str) -> None:
    metric = find_metric(name)
    assert metric is not None
    assert (metric.name, metric.higher_is_better, metric.unit) == (name, higher, unit)


@pytest.mark.parametrize(
    "name", ["val_top0_accuracy", "val_top_accuracy", "ema_train_loss", "ema_ema_val_loss", "gap"]
)
def test_no_metric(name: str) -> None:
    assert find_metric(name) is None


@pytest.mark.parametrize("k", [1, 2, 5])
def test_top_k_agrees_with_scikit_learn(k: int) -> None:
    generator = np.random.default_rng(k)
    scores, true = generator.normal(size=(200, 6)), generator.integers(0, 6, 200)
    ranks = rank_of_truth(torch.from_numpy(scores), torch.from_numpy(true))
    hits = int((ranks < k).sum())
    metric = find_metric(f"val_top{k}_accuracy")
    assert metric is not None and metric.compute is not None
    found = metric.compute(Evaluation(0.0, np.eye(6, dtype=np.int64) * 200, {k: hits}))
    expected = sklearn.top_k_accuracy_score(true, scores, k=k, labels=range(6))
    assert found * 6 == pytest.approx(100 * expected)


def test_rank_of_ties_and_nan() -> None:
    nan = float("nan")
    scores = [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [nan, 2.0, 1.0], [nan, nan, nan], [nan, 2.0, 1.0]]
    ranks = rank_of_truth(torch.tensor(scores), torch.tensor([0, 1, 1, 0, 0]))
    assert ranks.tolist() == [0, 1, 1, 3, 3]  # lower class first; a NaN answer is never right
