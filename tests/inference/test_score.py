"""Scores against scikit-learn and a table worked by hand."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, classification_report, top_k_accuracy_score

from pochitrain.inference.score import expected_calibration_error, score


def draw(num: int, num_classes: int, present: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    logits = generator.normal(size=(num, num_classes))
    labels = generator.integers(0, present, num)
    logits[np.arange(num), labels] += 1
    chances = np.exp(logits)
    return chances / chances.sum(axis=1, keepdims=True), labels


@pytest.mark.parametrize("present", [6, 4])
def test_scores_equal_those_of_scikit_learn(present: int) -> None:
    chances, labels = draw(300, 6, present)
    names = [f"class {i}" for i in range(6)]
    found = score(chances, labels, names, 3)
    predicted = chances.argmax(axis=1)
    expected = classification_report(
        labels, predicted, labels=range(6), target_names=names, output_dict=True, zero_division=0
    )
    for entry in found.classes:
        row = expected[entry.name]
        assert entry.precision == pytest.approx(row["precision"], abs=1e-12)
        assert entry.recall == pytest.approx(row["recall"], abs=1e-12)
        assert entry.f1_score == pytest.approx(row["f1-score"], abs=1e-12)
        assert entry.support == row["support"]
    assert found.accuracy == 100 * (predicted == labels).sum() / 300
    expected_top = top_k_accuracy_score(labels, chances, k=3, labels=range(6))
    assert found.top_k_accuracy == pytest.approx(100 * expected_top)
    present_recall = [entry.recall for entry in found.classes[:present]]
    assert found.balanced_accuracy == pytest.approx(100 * np.mean(present_recall))
    if present == 6:
        expected_balanced = balanced_accuracy_score(labels, predicted)
        assert found.balanced_accuracy == pytest.approx(100 * expected_balanced)


def test_calibration_error_by_hand() -> None:
    # bins of 1/15: 0.95 and 0.97 fall into (14/15, 1], 0.6 twice into (8/15, 9/15]
    chances = np.array([[0.95, 0.05], [0.03, 0.97], [0.6, 0.4], [0.6, 0.4]])
    labels = np.array([0, 0, 0, 1])
    expected = 2 / 4 * abs(0.5 - 0.96) + 2 / 4 * abs(0.5 - 0.6)
    assert expected_calibration_error(chances, labels) == pytest.approx(expected)


def test_a_sure_and_right_model_is_calibrated() -> None:
    assert expected_calibration_error(np.eye(3), np.arange(3)) == 0


def test_a_model_that_diverged_has_no_calibration() -> None:
    assert np.isnan(expected_calibration_error(np.full((2, 3), np.nan), np.array([0, 1])))
