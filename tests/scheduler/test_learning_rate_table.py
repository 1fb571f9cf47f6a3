"""Learning rates per epoch, worked out by hand, for every scheduler option.

Rates are those used *in* epochs 1, 2, ... at learning_rate 1; layer-wise groups are the same
numbers times their own rate.
"""

from math import cos, pi

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import nn

from pochitrain.config.registry import register_config
from pochitrain.paths import config_directory
from pochitrain.scheduler.warm_up import WarmUp, step_scheduler

HALF_COSINE = [(1 + cos(pi * epoch / 4)) / 2 for epoch in range(6)]
TABLE = {
    "none": ([], [1, 1, 1, 1, 1, 1]),
    "steplr": (["scheduler.step_size=2", "scheduler.gamma=0.1"], [1, 1, 0.1, 0.1, 0.01, 0.01]),
    "multisteplr": (
        ["scheduler.milestones=[1,4]", "scheduler.gamma=0.5"],
        [1, 0.5, 0.5, 0.5, 0.25, 0.25],
    ),
    "cosineannealinglr": (["scheduler.T_max=4"], HALF_COSINE),
    "exponentiallr": (["scheduler.gamma=0.5"], [1, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32]),
    "linearlr": (
        ["scheduler.end_factor=0.2", "scheduler.total_iters=4"],
        [1, 0.8, 0.6, 0.4, 0.2, 0.2],
    ),
}
WARM_UP = [0.1, 0.4, 0.7, 1, 1, 1]
"""Factor of three epochs of warm-up from 0.1."""


def build_scheduler(option: str, rates: list[float], warm_up: bool):
    register_config()
    with initialize_config_dir(str(config_directory())):
        cfg = compose("config", [f"scheduler={option}", "epochs=6", *TABLE[option][0]])
    groups = [{"params": [nn.Parameter(torch.ones(1))], "lr": rate} for rate in rates]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    scheduler = instantiate(cfg.scheduler, _execution_whitelist_=["torch.optim.*"])(optimizer)
    return WarmUp(scheduler, 3, 0.1) if warm_up else scheduler


def run_epochs(scheduler, num: int) -> list[list[float]]:
    seen = []
    for _ in range(num):
        seen.append([group["lr"] for group in scheduler.optimizer.param_groups])
        scheduler.optimizer.step()
        step_scheduler(scheduler, metric=0.0)
    return seen


@pytest.mark.parametrize("warm_up", [False, True], ids=["", "warm_up"])
@pytest.mark.parametrize("layers", [[1.0], [1.0, 0.1, 0.002]], ids=["one_rate", "layer_wise"])
@pytest.mark.parametrize("option", TABLE)
def test_rates(option, layers, warm_up):
    seen = run_epochs(build_scheduler(option, layers, warm_up), 6)
    factors = WARM_UP if warm_up else [1] * 6
    for epoch, factor in enumerate(factors):
        expected = [rate * TABLE[option][1][epoch] * factor for rate in layers]
        assert seen[epoch] == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_table_has_every_option():
    options = {path.stem for path in (config_directory() / "scheduler").glob("*.yaml")}
    assert options == set(TABLE)


@pytest.mark.parametrize("warm_up", [False, True], ids=["", "warm_up"])
@pytest.mark.parametrize("option", TABLE)
def test_saved_and_loaded_it_goes_on_with_the_same_rates(option, warm_up):
    whole = run_epochs(build_scheduler(option, [1.0, 0.1], warm_up), 6)
    first = build_scheduler(option, [1.0, 0.1], warm_up)
    run_epochs(first, 2)
    second = build_scheduler(option, [1.0, 0.1], warm_up)
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    second.load_state_dict(first.state_dict())
    assert run_epochs(second, 4) == whole[2:]


@pytest.mark.parametrize("option", TABLE)
def test_get_last_lr_is_what_the_optimizer_has(option):
    """As in torch: before the first step, after each one, and after loading, where the optimizer
    of the new process may not have been loaded yet."""
    scheduler = build_scheduler(option, [1.0, 0.1], warm_up=True)
    for _ in range(6):
        rates = [group["lr"] for group in scheduler.optimizer.param_groups]
        assert scheduler.get_last_lr() == rates
        loaded = build_scheduler(option, [1.0, 0.1], warm_up=True)
        loaded.load_state_dict(scheduler.state_dict())
        assert loaded.get_last_lr() == rates
        run_epochs(scheduler, 1)


@pytest.mark.parametrize("option", [name for name in TABLE if name != "cosineannealinglr"])
def test_warm_up_is_torchs_chained_one(option):
    """Where torch's ChainedScheduler is right: each rate is a multiple of the one before."""
    inner = build_scheduler(option, [1.0, 0.1], warm_up=False)
    linear = torch.optim.lr_scheduler.LinearLR(inner.optimizer, 0.1, 1.0, total_iters=3)
    chained = run_epochs(torch.optim.lr_scheduler.ChainedScheduler([inner, linear]), 6)
    ours = run_epochs(build_scheduler(option, [1.0, 0.1], warm_up=True), 6)
    for rates, expected in zip(ours, chained, strict=True):
        assert rates == pytest.approx(expected, rel=1e-9)


def test_warm_up_ends_at_eta_min():
    """Where it is not: a cosine to 0.2 must end there, also after a warm-up."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4, eta_min=0.2)
    rates = run_epochs(WarmUp(cosine, 2, 0.5), 5)
    whole = [0.2 + 0.8 * factor for factor in HALF_COSINE]
    expected = [[0.5 * whole[0]], [0.75 * whole[1]], [whole[2]], [whole[3]], [0.2]]
    for seen, rate in zip(rates, expected, strict=True):
        assert seen == pytest.approx(rate, rel=1e-9)


def test_warm_up_hands_the_metric_on():
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
    scheduler = WarmUp(plateau, 2, 0.5)
    rates = []
    for loss in [1.0, 2.0, 3.0]:
        rates.append(optimizer.param_groups[0]["lr"])
        step_scheduler(scheduler, loss)
    assert rates == [0.5, 0.75, 0.5]  # 1 x 1/2, 1 x 3/4, 1/2 x 1


def test_no_warning_where_no_optimizer_step_came_first():
    """A run that was stopped in the validation of its first epoch goes on with the scheduler."""
    scheduler = build_scheduler("steplr", [1.0], warm_up=False)
    step_scheduler(scheduler, metric=0.0)  # warnings are errors in these tests
    assert scheduler.last_epoch == 1
