"""Laying a picture over another: a crop is found, and nothing where there is none."""

import numpy as np
import pytest
import torch
from PIL import Image

from pochitrain.check.align import align, compare, measure, no_move
from tests.check.conftest import paint


def small(image: Image.Image, side: int = 32) -> torch.Tensor:
    """RGB from 0 to 1, shape (1, 3, side, side)."""
    array = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))
    return torch.from_numpy(array.copy()).permute(2, 0, 1)[None].float() / 255


def crop(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = image.size
    return image.crop(
        (round(left * width), round(top * height), round(right * width), round(bottom * height))
    )


def test_the_place_of_a_crop_is_found() -> None:
    whole = paint(0, 200)
    part = crop(whole, 0.06, 0.02, 0.98, 0.96)
    greys = [small(image).mean(1, keepdim=True) for image in (part, whole)]
    found = align(*greys, no_move(1), steps=10)[0].tolist()
    # From -1 to 1 across: 0.92 and 0.94 of the sides, whose middles are at 0.52 and 0.49.
    assert found == pytest.approx([0.92, 0.94, 2 * 0.52 - 1, 2 * 0.49 - 1], abs=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_a_crop_is_alike_and_another_picture_is_not(seed: int) -> None:
    whole, other = paint(seed, 200), paint(seed + 100, 200)
    part = crop(whole, 0.025, 0.025, 0.975, 0.975)
    found = compare(
        torch.cat([small(whole), small(whole), small(whole)]),
        torch.cat([small(part), small(other), small(whole)]),
    )
    assert found.correlation[0] > 0.9
    assert found.correlation[1] < 0.5
    assert found.correlation[2] == pytest.approx(1, abs=1e-3)
    # Without laying one over the other, even so small a crop is not alike.
    assert measure(small(whole), small(part), no_move(1)).correlation < found.correlation[0]


def test_brightness_and_contrast_do_not_matter() -> None:
    one = small(paint(3))
    found = compare(one, 0.5 * one + 0.2)
    assert found.correlation.item() == pytest.approx(1, abs=1e-3)


def test_another_colour_of_a_part_is_a_difference() -> None:
    one = small(paint(3))
    other = one.clone()
    other[:, 0, :8, 16:24] += 0.3  # the red of one of the 4 x 4 parts
    assert measure(one, other, no_move(1)).difference.item() == pytest.approx(0.3, abs=1e-3)
    assert measure(one, one, no_move(1)).difference.item() < 1e-4


def test_pictures_without_detail_have_none() -> None:
    slope = torch.linspace(0, 1, 32).expand(1, 3, 32, 32).contiguous()
    assert compare(slope, slope).detail.item() < 0.02
    flat = torch.full((1, 3, 32, 32), 0.5)
    assert torch.isfinite(compare(flat, flat).correlation).all()
