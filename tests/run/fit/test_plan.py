"""Plans worked out by hand."""

import pytest

from pochitrain.run.fit.plan import FIXED_S, SIZES_PX, Costs, Work, make_plan

# A picture of 32 px takes 1 ms forward, one of 64 px 4 ms, ...
FORWARD = {px: 0.001 * (px / 32) ** 2 for px in SIZES_PX}
COSTS = Costs(FORWARD, {px: 3 * s for px, s in FORWARD.items()}, {px: 0.002 for px in SIZES_PX})
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
    assert training.pilot_s == pytest.approx(2 * 0.8 * 65)
    assert training.seconds == pytest.approx(3 * 65)


def test_an_odd_number_of_epochs_rounds_the_comparison_up_and_still_fits() -> None:
    for left_s in range(20, 2000, 7):
        plan = make_plan(PHOTOS, COSTS, left_s)
        if plan.training is not None:
            assert plan.seconds <= left_s
            assert plan.training.pilot_epochs == (plan.training.epochs + 1) // 2


def test_small_pictures_are_enlarged_four_times_at_most_and_compared_with_scratch() -> None:
    plan = make_plan(Work(800, 200, side_px=28), COSTS, 300)
    assert plan.probe_px == 128  # 112 px is less than the 128 that any backbone may use
    assert plan.training is not None
    assert (plan.training.strategy, plan.training.size_px) == ("scratch", 32)
    assert make_plan(Work(800, 200, side_px=48), COSTS, 300).probe_px == 192


def test_without_a_backbone_everything_goes_into_training() -> None:
    plan = make_plan(PHOTOS, Costs({}, {}, {px: 0.02 for px in SIZES_PX}), FIXED_S + 100)
    assert plan.probe_px is None
    assert plan.training is not None
    # (800 + 200 / 3) * 0.02 = 17.3 s an epoch
    assert (plan.training.strategy, plan.training.epochs) == ("scratch", 5)
    assert plan.training.pilot_epochs == 0
