"""Any module of (logits, labels) as a loss, and sums of batches that give the mean of a set."""

import math
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from pochitrain.config.component import Components
from pochitrain.config.loss import LossConfig
from pochitrain.error import ConfigError
from pochitrain.loss.criterion import SummedLoss, build_criterion, try_sample_weights
from pochitrain.loss.cross_entropy import CrossEntropy

LOGITS = torch.tensor([[2.0, 0.5, -1.0], [0.1, 0.2, 0.3], [-3.0, 4.0, 0.0], [1.0, 1.0, 1.0]])
LABELS = torch.tensor([0, 2, 1, 2])
WEIGHT = torch.tensor([0.5, 2.0, 1.5])
SOFT = torch.tensor([[0.7, 0.3, 0.0], [0.0, 0.5, 0.5], [0.2, 0.2, 0.6], [1.0, 0.0, 0.0]])


def mean_of_batches(criterion: Any, labels: Tensor = LABELS) -> Tensor:
    """Of a batch of 3 and a last one of 1, as the engine adds them up."""
    parts = [criterion.sums(LOGITS[part], labels[part]) for part in (slice(0, 3), slice(3, 4))]
    total = sum(part[0] for part in parts)
    return total / sum(part[1] for part in parts)


@pytest.mark.parametrize(
    "whole",
    [
        nn.CrossEntropyLoss(),
        nn.CrossEntropyLoss(label_smoothing=0.1),
        nn.CrossEntropyLoss(WEIGHT),
        nn.CrossEntropyLoss(WEIGHT, label_smoothing=0.1),
        nn.NLLLoss(WEIGHT),
        nn.MultiMarginLoss(),
        nn.MultiMarginLoss(weight=WEIGHT),
    ],
    ids=str,
)
def test_ragged_batches_give_torchs_mean_of_the_whole(whole: nn.Module) -> None:
    wanted = whole(LOGITS, LABELS)
    torch.testing.assert_close(mean_of_batches(SummedLoss(whole)), wanted)
    for reduction in ("sum", "none"):
        setattr(whole, "reduction", reduction)
        torch.testing.assert_close(mean_of_batches(SummedLoss(whole)), wanted)


@pytest.mark.parametrize(
    "module",
    [
        nn.CrossEntropyLoss(label_smoothing=0.1, reduction="none"),
        nn.CrossEntropyLoss(WEIGHT, reduction="none"),
        nn.NLLLoss(WEIGHT, reduction="none"),
        nn.MultiMarginLoss(weight=WEIGHT, reduction="none"),
    ],
    ids=str,
)
def test_an_image_of_weight_three_is_three_images(module: nn.Module) -> None:
    criterion = SummedLoss(module)
    sums = criterion.sums(LOGITS, LABELS, torch.tensor([1.0, 3.0, 1.0, 2.0]))
    repeated = torch.tensor([0, 1, 1, 1, 2, 3, 3])
    torch.testing.assert_close(sums, criterion.sums(LOGITS[repeated], LABELS[repeated]))


@pytest.mark.parametrize(
    ("target", "total_weight"),
    [
        ("torch.nn.CrossEntropyLoss", 2.0),
        ("pochitrain.loss.cross_entropy.build_cross_entropy", 4 / 6 + 4 / 2),
    ],
)
def test_a_loss_that_can_weigh_images_still_counts_each_once_in_validation(
    target: str, total_weight: float
) -> None:
    parts = Components(OmegaConf.create({"loss": {"_target_": target}, "allow_targets": []}), [])
    criterion: Any = build_criterion(parts, [3, 1], sample_weights=True)
    total, weight = criterion.sums(torch.zeros(2, 2), torch.tensor([0, 1]))
    assert weight.item() == pytest.approx(total_weight)
    assert total.item() == pytest.approx(math.log(2) * total_weight)


def test_a_loss_without_a_number_for_each_image_cannot_weigh_them() -> None:
    class Mean(nn.Module):
        def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
            return nn.functional.cross_entropy(logits, labels)

    with pytest.raises(ConfigError) as caught:
        try_sample_weights(SummedLoss(Mean()), "Mean", 2)
    assert str(caught.value) == (
        "data.weight_column must be null with a loss that does not give one number for each "
        "picture (reduction=none), got Mean: ValueError: its result has shape (), not (2,)."
    )


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_class_probabilities_as_torch_means_them(weight: Tensor | None) -> None:
    whole = nn.CrossEntropyLoss(weight, label_smoothing=0.1)
    torch.testing.assert_close(mean_of_batches(SummedLoss(whole), SOFT), whole(LOGITS, SOFT))


def test_by_hand() -> None:
    """Logits 0 and 0: a loss of log 2 each; weights 1 and 9 make the mean log 2, not its half."""
    criterion = SummedLoss(nn.CrossEntropyLoss(torch.tensor([1.0, 9.0])))
    total, weight = criterion.sums(torch.zeros(2, 2), torch.tensor([0, 1]))
    assert total.item() == pytest.approx(10 * math.log(2), rel=1e-6)
    assert weight.item() == 10


def test_a_module_without_reduction_gives_the_mean() -> None:
    class WrongShare(nn.Module):
        def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
            return (logits.argmax(1) != labels).double().mean()

    # wrong are 0, 0, 0 of the first three and the last one: 1 of 4, not the mean of 0 and 1
    assert mean_of_batches(SummedLoss(WrongShare())).item() == 0.25


class WithNames(nn.Module):
    def __init__(self, num_classes: int, num_images_per_class: list[int], scale: float = 1.0):
        super().__init__()
        self.got = (num_classes, num_images_per_class, scale)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return nn.functional.cross_entropy(logits, labels)


class WithParameters(WithNames):
    def __init__(self) -> None:
        super().__init__(2, [])
        self.centre = nn.Parameter(torch.zeros(2))


def build(node: Any, *, soft_labels: bool = False) -> Any:
    parts = Components(OmegaConf.create({"loss": node}), allow=[f"{__name__}.*"])
    return build_criterion(parts, [30, 10, 60], soft_labels=soft_labels)


def test_from_an_option_of_the_user() -> None:
    built = build({"_target_": "torch.nn.CrossEntropyLoss", "weight": [1, 2, 3]})
    assert built.weight.tolist() == [1.0, 2.0, 3.0]
    built = build({"_target_": "torch.nn.MultiMarginLoss", "margin": 0.5})
    assert built.module.margin == 0.5


@pytest.mark.parametrize("typed", [True, False], ids=["composed", "saved"])
def test_another_target_on_a_shipped_option(typed: bool) -> None:
    """loss=uniform loss._target_=...: settings that are off and unknown to the target stay away."""
    node = OmegaConf.structured(LossConfig)
    node._target_, node.balance, node.label_smoothing = "torch.nn.CrossEntropyLoss", False, 0.1
    built = build(node if typed else OmegaConf.to_container(node))
    assert built.module.label_smoothing == 0.1
    node._target_, node.label_smoothing = "torch.nn.MultiMarginLoss", 0.0
    assert isinstance(build(node).module, nn.MultiMarginLoss)
    node.class_weights = [1.0, 2.0, 3.0]
    with pytest.raises(ConfigError, match=r"^loss cannot be built: .*class_weights"):
        build(node)


def test_gets_what_it_asks_for_by_name() -> None:
    built = build({"_target_": f"{__name__}.WithNames", "scale": 2.0})
    assert built.module.got == (3, [30, 10, 60], 2.0)
    given = build({"_target_": f"{__name__}.WithNames", "num_classes": 7})
    assert given.module.got[0] == 7


def test_the_shipped_loss_stays_as_it_is() -> None:
    built = build(OmegaConf.structured(LossConfig))
    assert isinstance(built, CrossEntropy)
    assert built.weight is not None


@pytest.mark.parametrize(
    ("node", "soft_labels", "message"),
    [
        ({"_target_": "torch.nn.MSELoss"}, False, "and class indices, .* got MSELoss, which is"),
        ({"_target_": "torch.nn.MultiMarginLoss"}, True, "that transform.batch makes"),
        ({"_target_": "torch.nn.CrossEntropyLoss", "weight": [1, 2]}, False, "class indices"),
        ({"_target_": "torch.nn.NLLLoss", "ignore_index": 2}, False, r"ignore_index must .*0 to 2"),
        ({"_target_": "torch.nn.CrossEntropyLoss", "wight": 1}, False, "loss cannot be built"),
        (
            {"_target_": "torch.nn.init.calculate_gain", "nonlinearity": "relu"},
            False,
            "be a loss of",
        ),
        ({"_target_": f"{__name__}.WithParameters"}, False, "without parameters of its own"),
    ],
)
def test_refused_before_training(node: Any, soft_labels: bool, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        build(node, soft_labels=soft_labels)
    assert "\n" not in str(caught.value)
