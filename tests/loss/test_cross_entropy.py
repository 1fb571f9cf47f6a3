"""Our cross entropy against torch's, and the balanced weights against scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from pochitrain.error import ConfigError
from pochitrain.loss.cross_entropy import CrossEntropy, build_cross_entropy, class_balance_weights

LOGITS = torch.tensor([[2.0, 0.5, -1.0], [0.1, 0.2, 0.3], [-3.0, 4.0, 0.0], [1.0, 1.0, 1.0]])
LABELS = torch.tensor([0, 2, 1, 2])


@pytest.mark.parametrize("weight", [None, [0.5, 2.0, 1.5]])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_is_torchs_cross_entropy(weight: list[float] | None, smoothing: float) -> None:
    weights = None if weight is None else torch.tensor(weight)
    ours = CrossEntropy(weights, smoothing)
    torchs = nn.CrossEntropyLoss(weight=weights, label_smoothing=smoothing)
    torch.testing.assert_close(ours(LOGITS, LABELS), torchs(LOGITS, LABELS))


@pytest.mark.parametrize("weight", [None, [0.5, 2.0, 1.5]])
def test_sums_of_ragged_batches_give_the_mean_of_the_whole(weight: list[float] | None) -> None:
    ours = CrossEntropy(None if weight is None else torch.tensor(weight), 0.1)
    parts = [ours.sums(LOGITS[:3], LABELS[:3]), ours.sums(LOGITS[3:], LABELS[3:])]
    total, weights = sum(part[0] for part in parts), sum(part[1] for part in parts)
    torch.testing.assert_close(total / weights, ours(LOGITS, LABELS))


@pytest.mark.parametrize("weight", [None, [0.5, 2.0, 1.5]])
def test_an_image_of_weight_three_is_three_images(weight: list[float] | None) -> None:
    ours = CrossEntropy(None if weight is None else torch.tensor(weight), 0.1)
    sums = ours.sums(LOGITS, LABELS, torch.tensor([1.0, 3.0, 1.0, 2.0]))
    repeated = torch.tensor([0, 1, 1, 1, 2, 3, 3])
    torch.testing.assert_close(sums, ours.sums(LOGITS[repeated], LABELS[repeated]))


def test_soft_targets_of_one_class_are_that_class() -> None:
    ours = CrossEntropy(torch.tensor([0.5, 2.0, 1.5]))
    soft = nn.functional.one_hot(LABELS, 3).float()
    torch.testing.assert_close(ours(LOGITS, soft), ours(LOGITS, LABELS))


def test_by_hand() -> None:
    """Two classes, logits 0 and 0: -log(1/2) for either class, whatever the weights."""
    criterion = CrossEntropy(torch.tensor([1.0, 9.0]))
    loss = criterion(torch.zeros(2, 2), torch.tensor([0, 1]))
    assert loss.item() == pytest.approx(0.693147, abs=1e-6)


@pytest.mark.parametrize("counts", [[30, 10, 60], [7, 7], [1, 999]])
def test_balanced_weights_are_scikit_learns(counts: list[int]) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    wanted = compute_class_weight("balanced", classes=np.arange(len(counts)), y=labels)
    found = class_balance_weights(torch.tensor(counts))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-6)


def test_balanced_weights_by_hand() -> None:
    criterion = build_cross_entropy(num_images_per_class=[30, 10])
    assert criterion.weight is not None
    torch.testing.assert_close(criterion.weight, torch.tensor([40 / 60, 40 / 20]))


def test_balanced_data_uniform_loss_and_given_weights() -> None:
    assert build_cross_entropy(num_images_per_class=[5, 5, 5]).weight is None
    assert build_cross_entropy(num_images_per_class=[5, 9], balance=False).weight is None
    given = build_cross_entropy(num_images_per_class=[5, 9], class_weights=[3, 1]).weight
    assert given is not None
    assert given.tolist() == [3.0, 1.0]


def test_weights_of_another_length_are_refused_with_the_guides_text() -> None:
    with pytest.raises(ConfigError, match=r"^クラス重みの長さ\(3\)がクラス数\(4\)と一致しません"):
        build_cross_entropy(num_images_per_class=[1, 1, 1, 1], class_weights=[1, 2, 3])


def test_weights_stay_out_of_checkpoints_and_move_with_the_module() -> None:
    criterion = build_cross_entropy(num_images_per_class=[1, 3])
    assert criterion.state_dict() == {}
    assert criterion.to(torch.float64).weight.dtype == torch.float64  # type: ignore[union-attr]
