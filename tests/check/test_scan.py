"""A look at every picture, here and in other processes."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from pochitrain.check import scan as scan_module
from pochitrain.check.classes import count_sides, judge_classes, judge_cut, judge_modes
from pochitrain.check.pictures import Pictures
from pochitrain.check.scan import Look, scan
from tests.check.conftest import paint

MakePictures = Callable[..., Pictures]


def test_processes_find_the_same(
    pictures_of: MakePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = pictures_of([paint(seed, 40) for seed in range(6)], [paint(9, 50)])
    path = pictures.path(2)
    assert path is not None
    with open(path, "r+b") as file:
        file.truncate(300)
    here = scan(pictures)
    assert [type(found).__name__ for found in here] == ["Look", "Look", "str"] + ["Look"] * 4
    monkeypatch.setattr(scan_module, "ALONE", 0)
    monkeypatch.setattr(scan_module, "CHUNK", 2)
    monkeypatch.setattr(scan_module, "num_cores", lambda: 2)
    for one, other in zip(here, scan(pictures), strict=True):
        if isinstance(one, str) or isinstance(other, str):
            assert one == other
        else:
            assert (one.pixels, one.size, one.quality) == (other.pixels, other.size, other.quality)
            assert np.array_equal(one.thumbnail, other.thumbnail)


def test_a_mirrored_picture_has_the_mirrored_thumbnail(pictures_of: MakePictures) -> None:
    """At sizes that are no multiple of 32; else mirrored copies would be missed."""
    image = paint(1, 96).resize((131, 77))
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    one, other = scan(pictures_of([image, mirrored], []))
    assert isinstance(one, Look) and isinstance(other, Look)
    difference = one.thumbnail.astype(int) - other.thumbnail[:, ::-1]
    assert np.abs(difference).max() <= 1


def test_forms_and_shapes(pictures_of: MakePictures) -> None:
    grey = paint(1, 20).convert("L")
    pictures = pictures_of([paint(0, 20)] * 30 + [grey], [Image.new("RGB", (60, 20))])
    looks = {i: found for i, found in enumerate(scan(pictures)) if isinstance(found, Look)}
    (mode,) = judge_modes(looks)
    assert (mode.kind, mode.images) == ("odd_mode", (30,))
    assert mode.detail == "L 1; the others: RGB 31"
    (cut,) = judge_cut(looks)
    assert (cut.images, cut.is_note) == ((31,), True)
    assert "0 % of a typical picture and up to 67 %" in cut.detail


def test_classes(pictures_of: MakePictures) -> None:
    image = paint(0, 8)
    pictures = pictures_of([image] * 33, [image] * 2, labels=[0] * 30 + [1] * 3 + [0] * 2)
    assert count_sides(pictures) == [(30, 2), (3, 0)]
    found = {finding.kind: finding.detail for finding in judge_classes(pictures)}
    assert found["few_pictures"] == "b: 3 training picture(s)"
    assert found["only_one_side"] == "b: no picture in validation"
    assert found["imbalance"].startswith("a, b: 30 and 3;")
