"""Bins of confidence, by hand, and that they add up to the calibration error."""

import numpy as np
import pytest

from pochitrain.inference.reliability import measure, reliability
from pochitrain.inference.score import expected_calibration_error


def test_two_bins_by_hand() -> None:
    chances = np.array([[0.61, 0.39], [0.65, 0.35], [0.1, 0.9]])
    low, high = reliability(chances, np.array([0, 1, 1]))
    assert (low.low, low.high, low.images) == (9 / 15, 10 / 15, 2)
    assert (low.confidence, low.accuracy) == (pytest.approx(0.63), 0.5)
    assert (high.low, high.high, high.images, high.accuracy) == (13 / 15, 14 / 15, 1, 1.0)


def test_the_bins_are_those_of_the_calibration_error() -> None:
    generator = np.random.default_rng(0)
    chances = generator.dirichlet(np.ones(4), 300)
    labels = generator.integers(0, 4, 300)
    found = measure(chances, labels)
    gaps = [
        one["images"] * abs(one["accuracy"] - one["confidence"]) for one in found["reliability"]
    ]
    assert sum(gaps) / 300 == pytest.approx(expected_calibration_error(chances, labels))
    assert found["expected_calibration_error"] == expected_calibration_error(chances, labels)


def test_a_model_that_diverged_has_no_bins() -> None:
    assert measure(np.array([[np.nan, np.nan]]), np.array([0]))["reliability"] == []
