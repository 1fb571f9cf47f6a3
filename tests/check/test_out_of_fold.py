"""Predictions for images by a classifier that has not seen them."""

import numpy as np
import pytest

from pochitrain.check.out_of_fold import NUM_FOLDS, choose_calmest, deal_folds, predict_out_of_fold


def test_folds_have_every_class() -> None:
    labels = np.repeat([0, 1, 2], [50, 10, 5])
    folds = deal_folds(labels, seed=1)
    for label, count in ((0, 10), (1, 2), (2, 1)):
        assert np.bincount(folds[labels == label], minlength=NUM_FOLDS).tolist() == [count] * 5
    assert not np.array_equal(folds, deal_folds(labels, seed=2))


def test_what_can_be_seen_is_predicted_and_what_cannot_is_not() -> None:
    """A wrong label is not learned by heart: nothing has seen it."""
    generator = np.random.default_rng(0)
    labels = np.arange(200) % 2
    features = generator.normal(size=(200, 20))
    features[:, 0] += np.where(labels == 1, 3.0, -3.0)
    wrong = [4, 9, 101]
    given = labels.copy()
    given[wrong] = 1 - given[wrong]
    chances = predict_out_of_fold(features, given, 2, seed=0)
    assert chances.sum(axis=1) == pytest.approx(np.ones(200))
    assert (chances.argmax(axis=1) == labels).mean() > 0.97
    assert (chances[wrong, given[wrong]] < 0.2).all()
    noise = generator.normal(size=(200, 20))
    hits = (predict_out_of_fold(noise, labels, 2, seed=0).argmax(axis=1) == labels).mean()
    assert 0.3 < hits < 0.7


def test_classes_that_do_not_occur_get_nothing() -> None:
    labels = np.array([0, 0, 0, 3, 3, 3])
    features = np.repeat([[0.0, 1.0], [1.0, 0.0]], 3, axis=0)
    chances = predict_out_of_fold(features, labels, 5, seed=0)
    assert chances.shape == (6, 5)
    assert (chances[:, [1, 2, 4]] == 0).all()
    assert (chances.argmax(axis=1) == labels).all()


def test_the_calmest_of_those_that_are_as_good() -> None:
    labels = np.zeros(4, int)

    def chances(*true_class: float) -> np.ndarray:
        return np.array([[p, 1 - p] for p in true_class])

    # Losses of the best: 0.1054 three times and 0.6931; mean 0.2523, standard error 0.1273.
    best = chances(0.9, 0.9, 0.9, 0.5)
    as_good, worse = chances(*[0.69] * 4), chances(*[0.68] * 4)  # 0.3711 and 0.3857
    assert choose_calmest([as_good, best], labels) is as_good
    assert choose_calmest([worse, best], labels) is best
    assert choose_calmest([worse, as_good, best], labels) is as_good
