"""Plans worked out by hand."""

import pytest
from torchvision.transforms.v2 import Compose, RandomResizedCrop

from pochitrain.run.fit.plan import (
    FIXED_S,
    SIZES_PX,
    Costs,
    Work,
    crop_scale,
    describe,
    make_plan,
    pretrained_sizes,
    reduce_to,
    scratch_size,
)
from pochitrain.transform.prefix import lossless_px

# A picture of 32 px takes 1 ms forward, one of 64 px 4 ms, ...
FORWARD = {px: 0.001 * (px / 32) ** 2 for px in SIZES_PX[1:]}
COSTS = Costs(FORWARD, {px: 3 * s for px, s in FORWARD.items()}, {32: 0.002})
PHOTOS = Work(num_train=800, num_val=200, side_px=375)


def test_the_probe_takes_the_largest_size_that_leaves_time_for_the_rest() -> None:
    # 1,000 pictures: 4, 9, 16, 25, 36, 49 s at 64, 96, 128, 160, 192, 224 px
    assert make_plan(PHOTOS, COSTS, FIXED_S + 31).probe_px == 128  # 24.8 s for features
    assert make_plan(PHOTOS, COSTS, FIXED_S + 32).probe_px == 160  # 25.6 s
    assert make_plan(PHOTOS, COSTS, FIXED_S + 600).probe_px == 224


def test_too_little_time_for_any_size_means_the_smallest() -> None:
    plan = make_plan(PHOTOS, COSTS, 1.0)
    assert (plan.probe_px, plan.training) == (64, None)
    assert plan.seconds == pytest.approx(FIXED_S + 4)


def test_finetuning_fills_the_rest_at_the_largest_size_with_enough_epochs() -> None:
    # Left after the probe at 224 px (49 s): 351 s. An epoch at 224 px takes
    # 800 * 0.147 + 200 * 0.049 = 127.4 s, 1.4 times that with its comparison: one epoch.
    # At 192 px: 93.6 s, less 36 s of features: (351 - 36) / (93.6 * 1.4) = 2.4 epochs.
    # At 160 px: 65 s, less 25 s: 326 / 91 = 3.58 epochs, so 3; 2 in the comparison, 0.8 of each.
    plan = make_plan(PHOTOS, COSTS, FIXED_S + 400)
    training = plan.training
    assert training is not None
    assert (training.strategy, training.size_px) == ("probe_finetune", 160)
    assert (training.epochs, training.pilot_epochs) == (3, 2)
    assert training.pilot_s == pytest.approx(25 + 2 * 0.8 * 65)  # with the features at 160 px
    assert training.seconds == pytest.approx(3 * 65)


def test_an_odd_number_of_epochs_rounds_the_comparison_up_and_still_fits() -> None:
    for left_s in range(20, 2000, 7):
        plan = make_plan(PHOTOS, COSTS, left_s)
        if plan.training is not None:
            assert plan.seconds <= left_s
            assert plan.training.pilot_epochs == (plan.training.epochs + 1) // 2


def test_sizes_follow_the_pictures() -> None:
    assert pretrained_sizes(PHOTOS) == [64, 96, 128, 160, 192, 224]
    assert pretrained_sizes(Work(800, 200, side_px=64)) == [64, 96, 128]
    assert pretrained_sizes(Work(800, 200, side_px=20)) == [64, 96, 128]
    assert [scratch_size(Work(1, 1, side_px=px)) for px in (8, 28, 50, 64, 500)] == [
        32,
        32,
        64,
        64,
        128,
    ]


def test_small_pictures_are_compared_with_training_from_scratch() -> None:
    plan = make_plan(Work(800, 200, side_px=28), COSTS, 300)
    assert plan.training is not None
    assert (plan.training.strategy, plan.training.size_px) == ("scratch", 32)


def test_without_a_backbone_everything_goes_into_training() -> None:
    plan = make_plan(PHOTOS, Costs({}, {}, {128: 0.02}), FIXED_S + 100)
    assert plan.probe_px is None
    assert plan.training is not None
    # (800 + 200 / 3) * 0.02 = 17.3 s an epoch
    assert (plan.training.strategy, plan.training.epochs) == ("scratch", 5)
    assert plan.training.pilot_epochs == 0


def test_pictures_that_are_loaded_once_leave_time_for_more_epochs() -> None:
    # As above, 351 s are left after the probe at 224 px. Loading takes 30 ms of each picture and
    # epoch: at 96 px an epoch takes 800 * (0.027 + 0.03) + 200 * (0.009 + 0.03) = 53.4 s.
    every = Costs(
        {px: s + 0.03 for px, s in FORWARD.items()},
        {px: 3 * s + 0.03 for px, s in FORWARD.items()},
        {32: 0.002},
    )
    # Once instead: 800 * 0.03 = 24 s, and 23.4 s an epoch.
    once = Costs(every.forward_s, COSTS.finetune_s, {32: 0.002}, FORWARD, 0.03)
    sizes = [make_plan(PHOTOS, costs, FIXED_S + 400).training for costs in (every, once)]
    assert sizes[0] is not None and sizes[1] is not None
    assert (sizes[0].size_px, sizes[0].epochs) == (96, 3)
    assert (sizes[1].size_px, sizes[1].epochs) == (128, 4)
    epoch_s = 800 * 0.048 + 200 * 0.016
    assert sizes[1].pilot_s == pytest.approx(1000 * 0.046 + 24 + 2 * 0.8 * epoch_s)

    alone = Costs({}, {}, {128: 0.02}, None, 0.03)  # (800 + 200) * 0.03 = 30 s, then 17.3 s each
    training = make_plan(PHOTOS, alone, FIXED_S + 100).training
    assert training is not None and training.epochs == 4
    assert training.seconds == pytest.approx(30 + 4 * 17.333, rel=1e-3)


@pytest.mark.parametrize("px", [64, 96, 128, 224])
def test_large_pictures_are_reduced_as_far_as_no_crop_is_enlarged(px: int) -> None:
    crop = RandomResizedCrop(px, scale=(crop_scale(px), 1.0))
    least = lossless_px(Compose([crop]))
    assert reduce_to(2 * least, px) == least
    assert reduce_to(2 * least - 1, px) is None


def test_a_slower_machine_is_given_as_much_more_time() -> None:
    costs = Costs(COSTS.forward_s, COSTS.finetune_s, COSTS.scratch_s, FORWARD, 0.03)
    for left_s in (40, 100, 400):
        plan = make_plan(PHOTOS, costs.times(2), FIXED_S + 2 * left_s)
        same = make_plan(PHOTOS, costs, FIXED_S + left_s)
        assert plan.probe_px == same.probe_px
        assert plan.seconds - FIXED_S == pytest.approx(2 * (same.seconds - FIXED_S))


def test_the_plan_is_three_lines_with_its_end() -> None:
    plan = make_plan(PHOTOS, COSTS, FIXED_S + 400)
    noon = 1_800_000_000.0
    first, second, third = describe(plan, PHOTOS, FIXED_S + 400, noon)
    assert "1,000 pictures" in first and "224 px (49 s)" in first
    assert "160 px for 3 epochs (3 min 15 s), if 2 do better" in second
    assert " late:" not in third
    assert "late: the time is too short" in describe(plan, PHOTOS, 10.0, noon)[-1]
