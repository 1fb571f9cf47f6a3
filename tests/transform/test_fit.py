"""FitImage shows the whole image, in a square of one size."""

import numpy as np
import pytest
from PIL import Image
from torchvision import transforms
from torchvision.transforms import v2

from pochitrain.transform.fit import FitImage
from pochitrain.transform.pipeline import build_pipeline, require_bearable
from pochitrain.transform.prefix import describe_steps, split_pipeline


def test_pad_keeps_the_shape_and_puts_bars_on_both_sides() -> None:
    white = Image.new("RGB", (80, 20), (255, 255, 255))
    seen = np.asarray(FitImage(16, "pad", [10, 20, 30])(white))
    assert seen.shape == (16, 16, 3)
    assert (seen[6:10] == 255).all()  # 80 x 20 becomes 16 x 4, 6 rows above and below
    assert (seen[:6] == (10, 20, 30)).all()
    assert (seen[10:] == (10, 20, 30)).all()
    tall = np.asarray(FitImage(16, "pad", [10, 20, 30])(white.transpose(Image.Transpose.ROTATE_90)))
    assert (tall == seen.transpose(1, 0, 2)).all()


def test_pad_puts_an_odd_pixel_below() -> None:
    seen = np.asarray(FitImage(8, "pad")(Image.new("RGB", (8, 5), (255, 0, 0))))
    assert [bool(row.any()) for row in seen] == [False, *[True] * 5, False, False]


def test_squash_is_torchvisions_resize() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 70, 3), np.uint8))
    seen = FitImage(16, "squash")(noise)
    assert np.array_equal(seen, v2.Resize([16, 16])(noise))
    smooth = v2.Resize([16, 16], v2.InterpolationMode.BICUBIC)(noise)
    assert np.array_equal(FitImage(16, "squash", interpolation="bicubic")(noise), smooth)


def test_pad_interpolates_as_asked() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 32, 3), np.uint8))
    seen = np.asarray(FitImage(16, "pad", interpolation="bicubic")(noise))
    expected = v2.Resize([8, 16], v2.InterpolationMode.BICUBIC)(noise)
    assert np.array_equal(seen[4:12], expected)


@pytest.mark.parametrize("size", [(10_000, 1), (1, 10_000), (1, 1)])
@pytest.mark.parametrize("mode", ["pad", "squash"])
def test_strips(mode: str, size: tuple[int, int]) -> None:
    step = FitImage(16, mode)
    require_bearable([step], size)
    assert step(Image.new("RGB", size, (9, 9, 9))).size == (16, 16)


def test_other_arguments() -> None:
    with pytest.raises(ValueError, match=r"mode must be one of pad, squash .*, got 'crop' and 8"):
        FitImage(8, "crop")
    with pytest.raises(ValueError, match=r"got 'pad' and 0"):
        FitImage(0, "pad")


def test_is_kept_in_the_cache_under_a_name_of_its_arguments() -> None:
    steps, rest = split_pipeline(
        build_pipeline([FitImage(8, "pad"), v2.RandomResizedCrop(8), transforms.ToTensor()])
    )
    assert [type(step) for step in steps] == [FitImage]
    assert len(rest.transforms) == 2
    others = [FitImage(8, "pad", [1, 2, 3]), FitImage(9, "pad"), FitImage(8, "squash")]
    others.append(FitImage(8, "pad", interpolation="bicubic"))
    assert len({describe_steps([step]) for step in [*steps, *others]}) == 5
