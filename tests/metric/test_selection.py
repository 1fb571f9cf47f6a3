"""The optimism of the best epoch: worked values, and what it promises on simulated trainings."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pochitrain.metric.interval import evaluate
from pochitrain.metric.metric import Metric
from pochitrain.metric.selection import estimate_optimism, halve, lost
from pochitrain.metric.table import METRICS

ACCURACY = METRICS["val_accuracy"]
MACRO_F1 = METRICS["val_macro_f1"]


def noisy(
    generator: np.random.Generator, num_epochs: int, num_images: int, num_classes: int = 2
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels, and the predictions of epochs of which each is truly as good as any other.

    A third of the images are right by chance anew in each epoch, four of five of the others in all.
    """
    labels = generator.integers(0, num_classes, num_images)
    always = generator.random(num_images) < 0.8
    anew = generator.random((num_epochs, num_images)) < 0.8
    right = np.where(generator.random(num_images) < 1 / 3, anew, always)
    others = (labels + generator.integers(1, num_classes, num_images)) % num_classes
    return labels, np.where(right, labels, others)


def test_a_lost_choice() -> None:
    first, second = np.array([70.0, 90.0, 90.0]), np.array([80.0, 60.0, 95.0])
    assert lost(first, second) == 30  # of equal ones the earlier
    assert lost(-first, -second) == 10  # where lower is better
    assert lost(np.array([np.nan, 50.0]), np.array([1.0, 45.0])) == 5
    assert np.isnan(lost(np.full(2, np.nan), first[:2]))


def test_two_epochs_that_differ_in_one_half() -> None:
    """Two classes of six images. Epoch 2 has one image of class 0 wrong, epoch 1 another.

    Halves of 3 + 3: where the two are in different halves, the choice is right on its own half
    (6 of 6) and loses 1/6 on the other. In one half together, they tie, and the first epoch loses
    nothing... on the half without them: it has one wrong on the other (1/6), none on its own, and
    the other way round gains 1/6. So only the different halves count, in 3/5 of all cases.
    """
    labels = np.repeat([0, 1], 6)
    epochs = np.stack([labels, labels])
    epochs[0, 0] = epochs[1, 1] = 1
    found = estimate_optimism(labels, epochs, ACCURACY, 2)
    assert found is not None
    exact = 3 / 5 * 100 / 6 / 2**0.5
    assert found.amount == pytest.approx(exact, rel=0.2)
    assert found.num_halvings == 100


@pytest.mark.parametrize(("num_epochs", "num_images"), [(10, 200), (40, 200), (10, 1000)])
def test_it_is_as_large_as_the_luck_of_the_best_epoch(num_epochs: int, num_images: int) -> None:
    generator = np.random.default_rng([num_epochs, num_images])
    errors = []
    for _ in range(40):
        labels, epochs = noisy(generator, num_epochs, num_images)
        best = 100 * (epochs == labels).mean(axis=1).max()
        found = estimate_optimism(labels, epochs, ACCURACY, 2)
        assert found is not None
        errors.append((best - 80, best - found.amount - 80))
    naive, corrected = np.mean(errors, axis=0)
    noise = np.std(errors, axis=0)[1] / 40**0.5
    assert naive > 0.7
    assert abs(corrected) < max(3 * noise, 0.25 * naive)


def test_a_clear_winner_owes_nothing_to_luck() -> None:
    generator = np.random.default_rng(0)
    labels, epochs = noisy(generator, 10, 300)
    epochs[4] = np.where(generator.random(300) < 0.98, labels, 1 - labels)
    found = estimate_optimism(labels, epochs, ACCURACY, 2)
    assert found is not None
    assert found.amount < 0.2


def test_any_metric_of_the_confusion_matrix() -> None:
    labels, epochs = noisy(np.random.default_rng(1), 10, 300, num_classes=4)
    # The short way for the accuracy is the general one.
    general = Metric("val_mine", ACCURACY.compute)
    short, long = (estimate_optimism(labels, epochs, m, 4) for m in (ACCURACY, general))
    assert short is not None and long is not None
    assert short.amount == pytest.approx(long.amount)
    error = Metric("val_error", lambda found: 100 - found.accuracy, higher_is_better=False)
    lower = estimate_optimism(labels, epochs.astype(np.uint8), error, 4)
    assert lower is not None
    assert lower.amount == pytest.approx(short.amount)
    f1 = estimate_optimism(labels, epochs, MACRO_F1, 4)
    assert f1 is not None and 0.5 < 100 * f1.amount / short.amount < 2


def test_images_of_a_group_count_as_one() -> None:
    """Each image ten times: luck is that of a tenth of the images, if the groups are known."""
    labels, epochs = noisy(np.random.default_rng(2), 20, 60)
    groups = np.arange(60).repeat(10).astype(str)
    tenfold = labels.repeat(10), epochs.repeat(10, axis=1)
    alone = estimate_optimism(labels, epochs, ACCURACY, 2)
    grouped = estimate_optimism(*tenfold, ACCURACY, 2, groups)
    ignored = estimate_optimism(*tenfold, ACCURACY, 2)
    assert alone is not None and grouped is not None and ignored is not None
    assert grouped.amount == pytest.approx(alone.amount, rel=0.25)
    assert ignored.amount < grouped.amount / 2


def test_halves() -> None:
    labels = np.array([0] * 10 + [1] * 5 + [2])
    groups = np.array(list("aabbccddeeffghhi"))
    for group in (None, groups):
        halves = np.stack(list(halve(labels, group, 200, np.random.default_rng(0))))
        assert halves.mean(axis=0).min() > 0.3 and halves.mean(axis=0).max() < 0.7
        assert len(np.unique(halves, axis=0)) > 20
    alone = np.stack(list(halve(labels, None, 200, np.random.default_rng(0))))
    assert (alone[:, :10].sum(axis=1) == 5).all()
    assert set(alone[:, 10:15].sum(axis=1)) == {2, 3}
    assert (alone.sum(axis=1) == 8).all()
    whole = np.stack(list(halve(labels, groups, 200, np.random.default_rng(0))))
    for name in "abcdefh":
        one = whole[:, groups == name]
        assert (one == one[:, :1]).all()


def test_silent_where_nothing_can_be_said() -> None:
    labels, epochs = noisy(np.random.default_rng(3), 4, 100)
    assert estimate_optimism(labels, epochs[:1], ACCURACY, 2) is None
    assert estimate_optimism(labels[:9], epochs[:, :9], ACCURACY, 2) is None
    assert estimate_optimism(labels, epochs, ACCURACY, 2, np.arange(100) % 9) is None
    nothing = Metric("val_nothing", lambda _: float("nan"))
    assert estimate_optimism(labels, epochs, nothing, 2) is None
    assert estimate_optimism(labels, epochs, MACRO_F1, 3000) is None  # would take minutes
    assert evaluate([MACRO_F1], np.eye(2, dtype=np.int64)) == [1.0]
