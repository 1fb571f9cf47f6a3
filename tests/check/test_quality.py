"""Brightness, sharpness and size."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from pochitrain.check.quality import (
    Quality,
    judge_quality,
    judge_sizes,
    laplacian,
    measure_quality,
)
from tests.check.conftest import paint


def test_measures_of_a_chessboard() -> None:
    """Every neighbour is of the other colour, so the Laplacian is 4 x 255 up or down."""
    board = (np.indices((10, 10)).sum(axis=0) % 2 * 255).astype(np.uint8)
    image = Image.fromarray(board).convert("RGB")
    found = measure_quality(image)
    assert (found.darkest, found.brightest) == (0, 1)
    assert found.deviation == pytest.approx(127.5)
    assert np.abs(laplacian(board.astype(np.float32))).tolist() == [[1020.0] * 8] * 8
    assert found.sharpness == pytest.approx((1020**2 - 20 / 12) / 127.5**2)


def test_one_pixel_is_measured() -> None:
    found = measure_quality(Image.new("RGB", (1, 1), (10, 20, 30)))
    assert (found.deviation, found.sharpness) == (0, 0)


def kinds(*images: Image.Image) -> list[str]:
    found = judge_quality({i: measure_quality(image) for i, image in enumerate(images)})
    return [f"{finding.images[0]} {finding.kind}" for finding in found]


def test_what_stands_out() -> None:
    good = paint(0)
    dark = good.point(lambda value: value * 0.15)
    bright = good.point(lambda value: 225 + value * 0.1)
    blurry = paint(1, 256).filter(ImageFilter.GaussianBlur(25))
    blank = Image.new("RGB", (50, 50), (200, 10, 10))
    assert kinds(good, dark, bright, blurry, blank) == [
        "1 dark",
        "2 bright",
        "3 blurry",
        "4 blank",
    ]


def test_two_colours_of_the_same_brightness_are_not_blank() -> None:
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:, :20] = (255, 0, 0)
    pixels[:, 20:] = (0, 130, 0)
    assert "blank" not in " ".join(kinds(Image.fromarray(pixels)))


def test_blank_is_said_alone() -> None:
    black = Quality(0.0, 0.0, 0.0, 0.0)
    assert [finding.kind for finding in judge_quality({3: black})] == ["blank"]


def test_sizes() -> None:
    sizes = dict.fromkeys(range(9), (400, 300))
    sizes |= {9: (90, 70), 10: (4000, 3000), 11: (1300, 300), 12: (1, 1)}
    found = [f"{finding.images[0]} {finding.kind}" for finding in judge_sizes(sizes)]
    assert found == ["9 tiny", "10 huge", "11 odd_shape", "12 tiny"]
    assert list(judge_sizes({})) == []
    assert list(judge_sizes(dict.fromkeys(range(5), (8, 8)))) == []  # all of them are so small
