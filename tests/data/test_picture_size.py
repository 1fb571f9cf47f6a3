"""What suits the images of a set, by the sizes in their headers."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pochitrain.data.decode import UnreadableImageError
from pochitrain.data.picture_size import PictureSizes, look_at_sizes

PHOTO, WIDE, TALL = (400, 300), (400, 100), (100, 400)


@pytest.mark.parametrize(
    ("sizes", "fit"),
    [
        ([(64, 64)], "crop"),
        ([PHOTO, (300, 400)], "crop"),
        ([(300, 200)], "crop"),  # a third is lost
        ([(1600, 900)], "squash"),  # 44 %, all of one shape
        ([WIDE], "squash"),
        ([WIDE, (440, 100), (400, 105)], "squash"),
        ([WIDE, TALL], "pad"),
        ([PHOTO] * 9 + [WIDE], "pad"),  # one in ten loses three quarters
        ([PHOTO] * 99 + [WIDE], "crop"),
    ],
)
def test_fit(sizes: list[tuple[int, int]], fit: str) -> None:
    assert PictureSizes(np.array(sizes)).choose_fit() == fit


@pytest.mark.parametrize(
    ("sizes", "fit", "side"),
    [
        ([(28, 28)], "crop", 32),
        ([(8, 8)], "crop", 32),
        ([(47, 47)], "crop", 32),
        ([(48, 48)], "crop", 64),
        ([(72, 96)], "crop", 64),
        ([(72, 96)], "pad", 96),
        ([WIDE], "pad", 224),
        ([(256, 64)], "squash", 128),  # as many pixels as 128 x 128
        ([PHOTO], "crop", 224),
        ([(64, 64), (64, 64), (2000, 2000)], "crop", 64),
    ],
)
def test_size(sizes: list[tuple[int, int]], fit: str, side: int) -> None:
    assert PictureSizes(np.array(sizes)).choose_size(fit) == side


def test_lost_part_of_the_area() -> None:
    found = PictureSizes(np.array([(100, 100), WIDE, PHOTO]))
    assert found.crop_loss(0) == 0
    assert found.crop_loss(50) == 0.25
    assert found.crop_loss(100) == 0.75


def images(sizes: Sequence[Any]) -> Any:
    """Stands for a set of images; None is an unreadable one."""
    asked: list[int] = []

    class Images(SimpleNamespace):
        def __len__(self) -> int:
            return len(sizes)

        def size(self, index: int) -> Any:
            asked.append(index)
            if sizes[index] is None:
                raise UnreadableImageError("not a picture")
            return sizes[index]

    return Images(asked=asked)


def test_looks_at_some_of_many_and_always_the_same() -> None:
    first, second = images([PHOTO] * 500), images([PHOTO] * 500)
    found = look_at_sizes(first, limit=50)
    look_at_sizes(second, limit=50)
    assert found is not None
    assert found.num_looked_at == 50
    assert first.asked == second.asked
    assert len({*first.asked}) == 50
    assert max(first.asked) > 400 > 100 > min(first.asked)


def test_unreadable_headers_are_passed_over() -> None:
    found = look_at_sizes(images([None, PHOTO]))
    assert found is not None
    assert found.sizes.tolist() == [list(PHOTO)]
    assert look_at_sizes(images([None])) is None
