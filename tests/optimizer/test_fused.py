"""Which kernels an optimizer gets, and that a run that is resumed steps on with the same."""

import io
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adagrad, Adam, AdamW, NAdam

from pochitrain.optimizer.fused import choose_kernels, name_kernels, settle_kernels

KINDS: list[tuple[Any, dict[str, Any]]] = [
    (Adam, {}),
    (AdamW, {"amsgrad": True}),
    (Adagrad, {}),
]


def groups(dtype: torch.dtype = torch.float32) -> list[dict[str, Any]]:
    """Two groups with rates of their own, as layer-wise rates make them."""
    torch.manual_seed(0)
    values = [torch.randn(37, 5, dtype=dtype), torch.randn(11, dtype=dtype)]
    rates = (0.1, 0.01)
    return [{"params": [nn.Parameter(v)], "lr": r} for v, r in zip(values, rates, strict=True)]


def take_steps(optimizer: torch.optim.Optimizer, first: int, last: int) -> torch.Tensor:
    for step in range(first, last):
        generator = torch.Generator().manual_seed(step)
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()
    values = [p.detach().flatten() for group in optimizer.param_groups for p in group["params"]]
    return torch.cat(values)


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_fused_computes_the_same(kind: Any, options: dict[str, Any]) -> None:
    kernels = choose_kernels(kind, options, groups())
    assert kernels == {"fused": True}
    expected = take_steps(kind(groups(), lr=1.0, **options), 0, 5)
    found = take_steps(kind(groups(), lr=1.0, **options, **kernels), 0, 5)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("kind", "options"), [*KINDS, (SGD, {"momentum": 0.9}), (NAdam, {})])
def test_a_parameter_may_be_frozen_at_first(kind: Any, options: dict[str, Any]) -> None:
    """model.freeze=1: in one group, one parameter has a gradient before the other."""
    results = []
    for wanted in (choose_kernels(kind, options, groups()), {}):
        one, other = (nn.Parameter(torch.ones(3)) for _ in range(2))
        optimizer = kind([one, other], lr=0.1, **options, **wanted)
        for step in range(4):
            one.grad = torch.full((3,), float(step))
            other.grad = torch.ones(3) if step >= 2 else None
            optimizer.step()
        results.append(torch.stack([one.detach(), other.detach()]))
    torch.testing.assert_close(*results)
    assert bool((results[0][1] != 1).all())


@pytest.mark.parametrize(
    "given",
    [
        {"fused": False},
        {"fused": True},
        {"foreach": True},
        {"foreach": False},
        {"differentiable": True},
        {"capturable": True},
    ],
)
def test_what_the_person_says_decides(given: dict[str, Any]) -> None:
    assert choose_kernels(Adam, given, groups()) == {}


def test_others_are_left_to_torch() -> None:
    class Own(Adam):
        """Computes something else."""

    assert choose_kernels(NAdam, {}, groups()) == {}
    assert choose_kernels(SGD, {"momentum": 0.9}, groups()) == {}
    assert choose_kernels(Own, {}, groups()) == {}
    assert choose_kernels(lambda parameters: None, {}, groups()) == {}
    assert choose_kernels(Adam, {}, groups(torch.complex64)) == {}
    elsewhere = [{"params": [nn.Parameter(torch.empty(2, device="meta"))]}]
    assert choose_kernels(Adam, {}, [*groups(), *elsewhere]) == {}


def saved(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


@pytest.mark.parametrize(("kind", "options"), KINDS)
@pytest.mark.parametrize("before", [{"fused": True}, {}])
def test_a_resumed_run_steps_on_bit_for_bit(
    kind: Any, options: dict[str, Any], before: dict[str, Any]
) -> None:
    """Also one of an earlier version, which was not fused."""
    whole = take_steps(kind(groups(), lr=1.0, **options, **before), 0, 6)
    first = kind(groups(), lr=1.0, **options, **before)
    values = take_steps(first, 0, 3)
    state = saved(first)
    second = kind(groups(), lr=1.0, **options, fused=True)
    nn.utils.vector_to_parameters(
        values, (p for group in second.param_groups for p in group["params"])
    )
    second.load_state_dict(state)
    settle_kernels(second)
    for entry in second.state.values():
        if "step" in entry:
            assert entry["step"].dtype is torch.float32
    assert torch.equal(take_steps(second, 3, 6), whole)


def test_the_scaler_skips_a_step_that_overflowed_before_and_after_a_resume() -> None:
    """An optimizer that was built fused and loads a state that is not must not leave it to torch's
    fused kernel to skip the step."""
    for before in ({"fused": True}, {}):
        first = Adam(groups(), lr=1.0, **before)
        take_steps(first, 0, 2)
        second = Adam(groups(), lr=1.0, fused=True)
        second.load_state_dict(saved(first))
        settle_kernels(second)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
        parameters = [p for group in second.param_groups for p in group["params"]]
        start = nn.utils.parameters_to_vector(parameters).detach().clone()
        for bad in (float("inf"), 1.0):
            loss = sum((p.sum() for p in parameters), torch.zeros(()))
            torch.autograd.backward(scaler.scale(loss * bad))
            scaler.unscale_(second)
            scaler.step(second)
            scaler.update()
            second.zero_grad()
            moved = not torch.equal(nn.utils.parameters_to_vector(parameters), start)
            assert moved is (bad == 1.0)


def test_a_state_from_a_device_with_fused_kernels_goes_on_without() -> None:
    optimizer = Adam(groups(), lr=1.0, fused=True)
    take_steps(optimizer, 0, 2)
    optimizer.__class__ = type("Own", (Adam,), {})
    settle_kernels(optimizer)
    assert [group["fused"] for group in optimizer.param_groups] == [None, None]
    take_steps(optimizer, 2, 3)


def test_name() -> None:
    assert name_kernels(Adam(groups(), fused=True)) == "fused Adam"
    assert name_kernels(SGD(groups(), foreach=True)) == "foreach SGD"
    assert name_kernels(NAdam(groups())) == "NAdam"
