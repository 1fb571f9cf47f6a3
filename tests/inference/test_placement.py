"""Where the network's pixels lie in a picture: steps of which that is known."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as v1
from torchvision.transforms import v2

from pochitrain.error import DataError
from pochitrain.inference.placement import Placement, locate, view
from pochitrain.transform.fit import FitImage
from pochitrain.transform.pipeline import build_pipeline

NORMALIZE = v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
CROP = (v2.Resize(256), v2.CenterCrop(224))
"""300 x 200 becomes 384 x 256, of which 80 and 16 px are cut off on each side."""
SCALE = 1.28


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((), Placement(0, 1, 0, 1)),
        (CROP, Placement(80 / SCALE, 1 / SCALE, 16 / SCALE, 1 / SCALE)),
        ((v1.Resize(256), v1.CenterCrop(224)), Placement(62.5, 1 / SCALE, 12.5, 1 / SCALE)),
        ((v2.Resize((50, 100)),), Placement(0, 3, 0, 4)),
        ((FitImage(96, "squash"),), Placement(0, 300 / 96, 0, 200 / 96)),
        # 300 x 200 becomes 96 x 64, with 16 px above and below.
        ((FitImage(96, "pad", (124, 116, 104)),), Placement(0, 3.125, -50, 3.125)),
        ((v2.Grayscale(3), v2.Pad(10)), Placement(-10, 1, -10, 1)),
        ((v2.RandomHorizontalFlip(1.0),), Placement(300, -1, 0, 1)),
    ],
)
def test_known_steps(steps: tuple, expected: Placement) -> None:
    pipeline = build_pipeline([*steps, v1.ToTensor(), NORMALIZE])
    found = locate(pipeline, (300, 200))
    for name, value in vars(expected).items():
        assert vars(found)[name] == pytest.approx(value, abs=0.5 if "0" in name else 0.01), name


@pytest.mark.parametrize("size", [(3, 2), (5, 1), (5000, 40), (64, 64)])
def test_any_picture(size: tuple[int, int]) -> None:
    found = locate(build_pipeline([FitImage(32, "squash"), v1.ToTensor()]), size)
    assert (found.dx, found.dy) == pytest.approx((size[0] / 32, size[1] / 32), rel=0.1)


@pytest.mark.parametrize(
    "step", [v2.RandomRotation((30, 30)), v2.RandomInvert(0.0), v2.Lambda(lambda p: p.rotate(90))]
)
def test_steps_that_move_pixels_otherwise_are_refused(step: v2.Transform) -> None:
    pipeline = build_pipeline([step, v2.Resize((64, 64)), v1.ToTensor()])
    if isinstance(step, v2.RandomInvert):
        assert locate(pipeline, (100, 100)).dx == pytest.approx(100 / 64, rel=0.01)
        return
    with pytest.raises(DataError, match="only resizes, crops, flips and pads"):
        locate(pipeline, (100, 100))


def test_a_heatmap_in_the_picture() -> None:
    heatmap = np.zeros((224, 224), np.float32)
    heatmap[:112, 112:] = 1
    place = locate(build_pipeline([*CROP, v1.ToTensor()]), (300, 200))
    found = place.to_picture(heatmap, (300, 200))
    assert found.shape == (200, 300) and found.dtype == np.float32
    assert found[20:95, 155:230].min() == 1  # x from 150 to 237.5, y from 12.5 to 100
    assert not found[:10].any() and not found[:, 240:].any()  # cut off
    assert not found[105:].any() and not found[:, :145].any()


def test_the_picture_that_the_network_gets() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    pipeline = build_pipeline([v2.CenterCrop(32), v1.ToTensor(), NORMALIZE])
    found = np.asarray(view(pipeline, pipeline(picture), picture.size))
    np.testing.assert_array_equal(found, pixels[4:36, 14:46])
    padded = build_pipeline([v2.Pad(2, fill=7), v1.ToTensor()])
    shown = np.asarray(view(padded, padded(picture), picture.size))
    assert (shown[0] == 128).all()
    np.testing.assert_array_equal(shown[2:-2, 2:-2], pixels)
    assert isinstance(pipeline(picture), torch.Tensor)
