"""Pictures that are there more than once."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pochitrain.check import duplicate
from pochitrain.check.duplicate import Pair, choose_limit, connect, find_exact, find_near
from pochitrain.check.pictures import Pictures
from pochitrain.check.scan import Look, scan
from tests.check.conftest import paint

MakePictures = Callable[..., Pictures]


def look(pictures: Pictures) -> dict[int, Look]:
    return {i: found for i, found in enumerate(scan(pictures)) if isinstance(found, Look)}


def recompress(image: Image.Image, quality: int = 50) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("RGB")


CHANGES = {
    "recompressed": recompress,
    "smaller": lambda image: image.resize((60, 60), Image.Resampling.LANCZOS),
    "cropped": lambda image: image.crop((2, 3, 94, 95)),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "darker": lambda image: image.point(lambda value: value * 0.8),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_a_changed_copy_in_validation_is_found(
    pictures_of: MakePictures, change: Callable[[Image.Image], Image.Image]
) -> None:
    train = [paint(seed) for seed in range(12)]
    val = [paint(50), change(train[7]), paint(51)]
    pictures = pictures_of(train, val)
    found, pairs = find_near(pictures, look(pictures))
    assert [(f.kind, f.images, f.across_split, f.drop) for f in found] == [
        ("near_duplicate", (7, 13), True, (7,))
    ]
    assert [{pair.first, pair.second} for pair in pairs] == [{7, 13}]
    assert find_exact(pictures, look(pictures)) == []


def test_the_same_pixels_in_another_file_are_exact(pictures_of: MakePictures) -> None:
    train = [paint(seed) for seed in range(4)]
    pictures = pictures_of([*train, train[2]], [paint(9), train[0]])
    (across, one_side) = find_exact(pictures, look(pictures))
    assert (across.images, across.across_split, across.drop) == ((0, 6), True, (0,))
    assert (one_side.images, one_side.across_split, one_side.drop) == ((2, 4), False, (4,))
    assert find_near(pictures, look(pictures)) == ([], [])  # said once


def test_nothing_is_dropped_where_the_classes_differ(pictures_of: MakePictures) -> None:
    one = paint(0)
    pictures = pictures_of([one, paint(1)], [one], labels=[0, 1, 1])
    (found,) = find_exact(pictures, look(pictures))
    assert found.drop == ()
    assert found.detail.endswith("in different classes: a, b")


def test_empty_skies_are_no_duplicates(pictures_of: MakePictures) -> None:
    """Smooth pictures are alike in all that a small version shows; noise is no detail."""
    slope = np.linspace(60, 200, 64)[:, None, None] + np.zeros((64, 64, 3))
    skies = [
        Image.fromarray((slope + np.random.default_rng(i).normal(0, 2, slope.shape)).astype("u1"))
        for i in range(6)
    ]
    pictures = pictures_of(skies[:4], skies[4:])
    assert find_near(pictures, look(pictures)) == ([], [])


def test_the_same_shape_in_another_colour_is_another_picture(
    pictures_of: MakePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disc(color: str) -> Image.Image:
        image = Image.new("RGB", (64, 64), "white")
        ImageDraw.Draw(image).ellipse((12, 12, 52, 52), color)
        return image

    pictures = pictures_of([disc("black"), paint(0), paint(1), paint(2)], [disc("green")])
    assert find_near(pictures, look(pictures)) == ([], [])
    monkeypatch.setattr(duplicate, "MOST_DIFFERENT", 1.0)
    assert len(find_near(pictures, look(pictures))[1]) > 0


def test_the_limit_follows_the_set() -> None:
    assert choose_limit(np.zeros(9, np.float32)) == 0.9  # nothing is like anything
    assert choose_limit(np.full(9, 0.8, np.float32)) == pytest.approx(0.95)
    assert choose_limit(np.ones(9, np.float32)) == pytest.approx(
        0.98
    )  # a set full of copies still has copies


def test_too_many_pictures_are_not_compared(
    pictures_of: MakePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = pictures_of([paint(0), CHANGES["mirrored"](paint(0)), paint(1)], [])
    assert len(find_near(pictures, look(pictures))[0]) == 1
    monkeypatch.setattr(duplicate, "MOST_PICTURES", 2)
    assert find_near(pictures, look(pictures)) == ([], [])


def test_connect() -> None:
    pairs = [Pair(*both, mirrored=False, likeness=1) for both in ((5, 1), (2, 3), (3, 5), (8, 9))]
    assert connect(pairs) == [[1, 2, 3, 5], [8, 9]]
