"""The temperature: what it minimizes, and that no image helps to fit its own."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from pochitrain.error import PochiError
from pochitrain.inference.score import expected_calibration_error
from pochitrain.inference.temperature import LOWEST, fit_temperature, log_loss, out_of_fold


def drawn(num: int, true_temperature: float, num_classes: int = 5) -> tuple[Tensor, Tensor]:
    """Logits, and labels that are drawn from softmax(logits / true_temperature)."""
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(num, num_classes, generator=generator)
    chances = torch.softmax(logits / true_temperature, dim=1)
    return logits, torch.multinomial(chances, 1, generator=generator)[:, 0]


@pytest.mark.parametrize("true", [0.5, 1.0, 2.5])
def test_the_temperature_that_labels_were_drawn_with_is_found(true: float) -> None:
    assert fit_temperature(*drawn(5000, true)) == pytest.approx(true, rel=0.06)


def test_no_other_temperature_has_a_lower_loss() -> None:
    logits, labels = drawn(40, 1.7)
    share = 1 / 42
    targets = (1 - share) * one_hot(labels, 5).double() + share / 5

    def loss(temperature: float) -> float:
        return float(cross_entropy(logits.double() / temperature, targets))

    found = fit_temperature(logits, labels)
    assert loss(found) <= min(loss(0.05 * 1.01**step) for step in range(600)) + 1e-9


def test_a_model_without_mistakes_is_not_made_certain() -> None:
    """Two classes, a difference of 2: sigmoid(2 / T) = 1 - 1 / 20, as 18 images can support."""
    logits = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(9, 1)
    labels = torch.tensor([0, 1]).repeat(9)
    share = 1 / 20 / 2
    expected = 2 / math.log((1 - share) / share)
    assert fit_temperature(logits, labels) == pytest.approx(expected, rel=1e-4)
    assert fit_temperature(1e-3 * logits, labels) == pytest.approx(LOWEST, rel=1e-3)


def test_an_image_is_judged_without_its_own_label() -> None:
    logits, labels = drawn(100, 2.0)
    before, temperatures = out_of_fold(logits, labels, seed=3)
    changed = labels.clone()
    changed[7] = (labels[7] + 1) % 5
    after, _ = out_of_fold(logits, changed, seed=3)
    same = (before == after).all(dim=1)
    assert same[7]
    assert int(same.sum()) == 20  # its fold
    assert len(temperatures) == 5
    assert torch.allclose(before.sum(dim=1), torch.ones(100, dtype=torch.float64))
    assert torch.equal(before.argmax(dim=1), logits.argmax(dim=1))


def test_broken_weights_are_named() -> None:
    logits, labels = drawn(10, 1.0)
    logits[3, 1] = float("inf")
    with pytest.raises(PochiError, match="not finite"):
        out_of_fold(logits, labels, seed=0)


def test_log_loss_by_hand() -> None:
    chances = torch.tensor([[0.5, 0.5], [0.8, 0.2]], dtype=torch.float64)
    found = log_loss(chances, torch.tensor([0, 1]))
    assert found == pytest.approx((math.log(2) + math.log(5)) / 2)


def test_the_calibration_error_of_other_images_is_halved() -> None:
    logits, labels = drawn(4000, 2.5)
    temperature = fit_temperature(logits[:2000], labels[:2000])
    before, after = (
        expected_calibration_error(
            torch.softmax(logits[2000:].double() / value, dim=1).numpy(), labels[2000:].numpy()
        )
        for value in (1.0, temperature)
    )
    assert after < before / 2
