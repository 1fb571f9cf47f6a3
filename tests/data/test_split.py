"""Who is on which side: hand-worked splits, and what holds for any of them."""

from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pochitrain.data.group import groups_of_paths
from pochitrain.data.picture_time import times_of_paths
from pochitrain.data.split import SplitIndices, SplitRule, split_indices, stratified_split
from pochitrain.data.split_time import cut_by_time
from pochitrain.error import ConfigError

LABELS = [0] * 50 + [1] * 23 + [2] * 12


def sides(found: SplitIndices) -> list[list[int]]:
    return [part.tolist() for part in (found.train, found.val, found.test) if part is not None]


def counts(found: SplitIndices, labels: list[int]) -> list[list[int]]:
    """Images of each class on each side."""
    return [np.bincount(np.array(labels)[part]).tolist() for part in sides(found)]


def test_the_split_of_a_seed_is_the_one_it_always_was() -> None:
    """Python's random.Random(BLAKE2b("0:split:<class>")), a fifth of each class."""
    found = split_indices([0] * 10 + [1] * 5, SplitRule(val_fraction=0.2))
    assert found.val is not None and found.val.tolist() == VAL_OF_SEED_0
    assert found.val.tolist() == stratified_split([0] * 10 + [1] * 5, 0.2, 0)[1]


VAL_OF_SEED_0 = [0, 1, 11]


def test_fractions_are_of_all_images() -> None:
    found = split_indices(LABELS, SplitRule(val_fraction=0.2, test_fraction=0.1))
    # round(5.0), round(2.3), round(1.2) for the test; round(10.0), round(4.6), round(2.4)
    assert counts(found, LABELS) == [[35, 16, 9], [10, 5, 2], [5, 2, 1]]
    assert sorted(chain(*sides(found))) == list(range(len(LABELS)))


def test_folds_deal_out_one_class_after_another() -> None:
    folds = [split_indices(LABELS, SplitRule(num_folds=5, fold=i)).val for i in range(5)]
    held = [fold.tolist() for fold in folds if fold is not None]
    assert sorted(chain(*held)) == list(range(85))
    per_class = np.array([np.bincount(np.array(LABELS)[fold]) for fold in held])
    # 23 = 5+5+5+4+4, and the third class begins where the second has ended: 12 = 2+2+2+3+3.
    assert per_class.tolist() == [[10, 5, 2], [10, 5, 2], [10, 5, 2], [10, 4, 3], [10, 4, 3]]
    assert {len(fold) for fold in held} == {17}


@pytest.mark.parametrize("groups", [None, [f"g{i // 2}" for i in range(85)]], ids=["each", "pairs"])
def test_the_test_part_is_the_same_for_every_seed_and_fold(groups: list[str] | None) -> None:
    rules = [
        SplitRule(val_fraction=0.2, test_fraction=0.1),
        SplitRule(val_fraction=0.5, test_fraction=0.1, seed=7),
        SplitRule(num_folds=3, fold=2, test_fraction=0.1, seed=1),
        SplitRule(test_fraction=0.1),
    ]
    tests = [split_indices(LABELS, rule, groups).test for rule in rules]
    assert tests[0] is not None and len(tests[0]) > 0
    assert all(test is not None and test.tolist() == tests[0].tolist() for test in tests)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 11), min_size=40, max_size=80),
    st.sampled_from([0.1, 0.2, 0.35, 0.5]),
    st.integers(0, 3),
)
def test_no_group_is_ever_on_two_sides(numbers: list[int], fraction: float, seed: int) -> None:
    """Two classes, groups of any size, some of them with both classes."""
    labels = [i % 2 for i in range(len(numbers))]
    groups = [str(number) for number in numbers]
    for rule in (
        SplitRule(val_fraction=fraction, seed=seed),
        SplitRule(val_fraction=fraction, test_fraction=0.2, seed=seed),
        SplitRule(num_folds=3, fold=seed % 3, seed=seed),
    ):
        try:
            found = split_indices(labels, rule, groups)
        except ConfigError as error:
            assert str(error).startswith("data.group_by must give")
            continue
        of_sides = [{groups[i] for i in part} for part in sides(found)]
        assert sum(map(len, of_sides)) == len(set(groups))
        assert sorted(chain(*sides(found))) == list(range(len(labels)))
        assert all({labels[i] for i in part} == {0, 1} for part in sides(found))


def test_grouped_parts_have_about_the_size_that_is_asked_for() -> None:
    labels = sorted([0, 1, 2] * 300)
    groups = [f"{i // 3}" for i in range(900)]  # 300 groups of 3
    for fraction in (0.1, 0.2, 0.35):
        val = split_indices(labels, SplitRule(val_fraction=fraction), groups).val
        assert val is not None
        shares = np.bincount(np.array(labels)[val]) / 300
        assert np.abs(shares - fraction).max() < 0.03


def test_grouped_folds_are_those_of_scikit_learn_and_complete() -> None:
    labels = sorted([0, 1] * 60)
    groups = [f"{i // 4}" for i in range(120)]
    folds = [split_indices(labels, SplitRule(num_folds=5, fold=i), groups).val for i in range(5)]
    held = [fold.tolist() for fold in folds if fold is not None]
    assert sorted(chain(*held)) == list(range(120))
    assert [len({groups[i] for i in fold}) for fold in held] == [6] * 5


def test_too_few() -> None:
    with pytest.raises(
        ConfigError, match=r"^data\.num_folds must be at most .* got 5\. b 4\. data"
    ):
        split_indices([0] * 9 + [1] * 4, SplitRule(num_folds=5, fold=0), class_names=["a", "b"])
    groups = [str(i) for i in range(9)] + ["x"] * 4
    with pytest.raises(ConfigError, match=r"at least 2 groups, for training .* got b 1\. Collect"):
        split_indices([0] * 9 + [1] * 4, SplitRule(0.2), groups, class_names=["a", "b"])
    groups = ["x", "y"] * 4  # each has both classes: three folds cannot be made of two
    with pytest.raises(ConfigError, match="at least 3 groups, for 3 folds, got a 2, b 2"):
        rule = SplitRule(num_folds=3, fold=0)
        split_indices([0, 0, 1, 1] * 2, rule, groups, class_names=["a", "b"])
    # Enough for five folds and a test, but not for one that takes two groups of each class.
    rule = SplitRule(num_folds=5, fold=0, test_fraction=0.4)
    with pytest.raises(ConfigError, match="5 folds and test as large as asked for, got a 4, b 4"):
        split_indices([0, 1] * 6, rule, [str(i // 2) for i in range(12)], class_names=["a", "b"])


def test_the_newest_are_held_out_and_one_time_stays_together() -> None:
    times = np.array([5.0, 1, 2, 2, 9, 9, 3, 8])  # ascending: 1 2 2 3 5 8 9 9
    parts = cut_by_time(times, [0.25, 0.25], "cat")
    assert [sorted(part.tolist()) for part in parts] == [[1, 2, 3, 6], [0, 7], [4, 5]]
    # A quarter would cut through the two of time 9, or leave one of them behind.
    assert sorted(cut_by_time(times, [0.1], "cat")[1].tolist()) == [4, 5]
    with pytest.raises(ConfigError, match=r"^data\.split_by_time must be given .* got '1 in class"):
        cut_by_time(np.ones(9), [0.2], "cat")


def test_time_split_is_per_class() -> None:
    labels = [0] * 10 + [1] * 10
    times = np.r_[np.arange(10.0), np.arange(100.0, 110.0)]
    found = split_indices(labels, SplitRule(0.2, 0.1), times=times)
    assert sides(found) == [[*range(7), *range(10, 17)], [7, 8, 17, 18], [9, 19]]


def test_groups_of_paths() -> None:
    paths = ["/r/cat/p01_a.jpg", "/r/cat/p02_a.jpg", "/r/dog/p01_b.jpg"]
    assert groups_of_paths(paths, "/r", r"(p\d+)_") == ["p01", "p02", "p01"]
    assert groups_of_paths(paths, "/r", r"p\d") == ["p0"] * 3
    assert groups_of_paths(paths, "/r", "^[^/]+") == ["cat", "cat", "dog"]
    message = r"^data\.group_by must find .* finds none in 2 of 3: cat/p01_a\.jpg, cat/p02"
    with pytest.raises(ConfigError, match=message):
        groups_of_paths(paths, "/r", "_(b)?")


def test_times_of_paths(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[306] = "2024:01:01 00:00:09"  # when the file was last edited
    exif.get_ifd(0x8769)[36867] = "2024:01:01 00:00:01"  # when it was taken
    edited = Image.Exif()
    edited[306] = "2024:01:01 00:00:02"
    unset = Image.Exif()
    unset.get_ifd(0x8769)[36867] = "0000:00:00 00:00:00"
    for name, data in (("a.jpg", exif), ("b.jpg", edited), ("c.jpg", unset)):
        Image.new("RGB", (8, 8)).save(tmp_path / name, exif=data)
    paths = [str(tmp_path / name) for name in ("a.jpg", "b.jpg", "c.jpg")]
    first, second = times_of_paths(paths[:2], "exif")
    assert (first, second) == (1_704_067_201, 1_704_067_202)
    with pytest.raises(ConfigError, match=r"got none in 1 of 3: .*c\.jpg\. "):
        times_of_paths(paths, "exif")
    assert times_of_paths(paths, "file").tolist() == [Path(path).stat().st_mtime for path in paths]
