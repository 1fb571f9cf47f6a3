"""Predictions for images by a last layer that has not seen them."""

import numpy as np
import pytest
import torch

from pochitrain.strategy.out_of_fold import NUM_FOLDS, deal_folds, predict_out_of_fold


def test_folds_have_every_class() -> None:
    labels = np.repeat([0, 1, 2], [50, 10, 5])
    folds = deal_folds(labels, seed=1)
    for label, count in ((0, 10), (1, 2), (2, 1)):
        assert np.bincount(folds[labels == label], minlength=NUM_FOLDS).tolist() == [count] * 5
    assert not np.array_equal(folds, deal_folds(labels, seed=2))


def test_what_can_be_seen_is_predicted_and_what_cannot_is_not() -> None:
    """A wrong label is not learned by heart: nothing has seen it."""
    generator = torch.Generator().manual_seed(0)
    labels = np.arange(200) % 2
    features = torch.randn(200, 20, generator=generator)
    features[:, 0] += torch.from_numpy(np.where(labels == 1, 3.0, -3.0)).float()
    wrong = [4, 9, 101]
    given = labels.copy()
    given[wrong] = 1 - given[wrong]
    chances = predict_out_of_fold(features, given, 2, seed=0)
    assert chances.sum(axis=1) == pytest.approx(np.ones(200))
    assert (chances.argmax(axis=1) == labels).mean() > 0.97
    assert (chances[wrong, given[wrong]] < 0.2).all()
    noise = torch.randn(200, 20, generator=generator)
    hits = (predict_out_of_fold(noise, labels, 2, seed=0).argmax(axis=1) == labels).mean()
    assert 0.3 < hits < 0.7
