"""A comparison uses training pictures only, and says what an epoch takes."""

from types import SimpleNamespace
from typing import Any

from pochitrain.data.dataset import DataSplits, Subset
from pochitrain.run.fit.pilot import Pilot, divide_time, hold_out


def fake_images(labels: list[int]) -> Any:
    """A data set of which nothing but the labels is looked at."""
    return Subset(SimpleNamespace(labels=labels, in_memory=True), range(len(labels)))  # type: ignore[arg-type]


def test_the_pictures_held_out_are_training_pictures() -> None:
    base: Any = SimpleNamespace(labels=[0] * 10 + [1] * 10, in_memory=True)
    train = Subset(base, [0, 2, 4, 6, 8, 10, 12, 14, 16, 18])
    held = hold_out(DataSplits(train, Subset(base, [1, 11]), ["a", "b"], []), seed=0)
    assert held is not None and isinstance(held.train, Subset) and isinstance(held.val, Subset)
    both = [*held.train.indices.tolist(), *held.val.indices.tolist()]  # type: ignore[union-attr]
    assert sorted(both) == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
    assert len(held.val) == 2 and held.val.base is base


def test_no_group_is_divided_for_a_pilot_either() -> None:
    groups = [f"{i // 2}" for i in range(20)]
    data = DataSplits(fake_images([0] * 10 + [1] * 10), None, ["a", "b"], [], train_groups=groups)
    held = hold_out(data, seed=0)
    assert held is not None and isinstance(held.train, Subset) and isinstance(held.val, Subset)
    inside, outside = ({groups[i] for i in part.indices} for part in (held.train, held.val))  # type: ignore[union-attr]
    assert inside and outside and not inside & outside


def test_one_picture_of_a_class_cannot_be_held_out() -> None:
    held = hold_out(DataSplits(fake_images([0, 0, 1]), None, ["a", "b"], []), seed=0)
    assert held is None or 1 in held.train.labels


def test_a_lower_loss_is_better() -> None:
    def did(value: float, higher: bool) -> Pilot:
        return Pilot(value, 1.0, higher_is_better=higher)

    assert did(2.0, True).beats(did(1.0, True))
    assert did(1.0, False).beats(did(2.0, False))
    assert not did(float("nan"), True).beats(did(1.0, True))


def test_time_of_the_first_epoch_beyond_the_others() -> None:
    assert divide_time(10.0, [16.0, 20.0, 24.0]) == (4.0, 2.0)
    assert divide_time(10.0, [16.0]) == (6.0, 0.0)
    assert divide_time(10.0, [11.0, 14.0]) == (3.0, 0.0)  # the first one was no slower
