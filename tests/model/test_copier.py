"""Copies of a model are those of copy.deepcopy."""

import copy

import pytest
import torch
from torch import nn

from pochitrain.model.copier import Copier


class Tied(nn.Module):
    """Has what a copy may get wrong: a tensor in two places, a buffer, a hook, a frozen layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3, bias=False)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm1d(3)
        self.list = [self.norm.running_mean]
        self.first.bias.requires_grad_(False)
        self.second.register_forward_hook(double)

    def forward(self, inputs_B3: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.second(self.norm(self.first(inputs_B3)))
        return scores


def double(module: nn.Module, inputs: object, output: torch.Tensor) -> torch.Tensor:
    return 2 * output


@pytest.fixture
def model() -> Tied:
    torch.manual_seed(0)
    return Tied().eval()


def check_copy(model: Tied, copied: nn.Module) -> None:
    assert isinstance(copied, Tied)
    inputs = torch.randn(4, 3)
    assert torch.equal(copied(inputs), model(inputs))
    assert str(copied) == str(model)
    assert copied.training == model.training
    kinds = [(name, type(p), p.requires_grad) for name, p in model.named_parameters()]
    assert [(name, type(p), p.requires_grad) for name, p in copied.named_parameters()] == kinds
    assert copied.second.weight is copied.first.weight
    assert copied.list[0] is copied.norm.running_mean
    before = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        for tensor in copied.state_dict().values():
            tensor.add_(1)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_every_copy_is_the_same_and_its_own(model: Tied, monkeypatch: pytest.MonkeyPatch) -> None:
    copies = Copier(model)
    whole = copy.deepcopy

    def refuse_modules(value: object, memo: dict[int, object]) -> object:
        assert not isinstance(value, nn.Module)  # which would be the slow way
        return whole(value, memo)

    with monkeypatch.context() as patch:
        patch.setattr(copy, "deepcopy", refuse_modules)
        found = [copies.copy(), copies.copy()]
    for copied in found:
        check_copy(model, copied)


def test_a_model_that_cannot_be_pickled_is_copied_too(model: Tied) -> None:
    model.second.register_forward_hook(lambda *_: None)
    check_copy(model, Copier(model).copy())
