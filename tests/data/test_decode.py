"""Every kind of image file becomes the RGB that a person sees; the numbers are worked by hand."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from sklearn.datasets import load_sample_image

from pochitrain.data import decode
from pochitrain.data.decode import UnreadableImageError, decode_rgb, upright_size


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def pixel(path: Path, **options: object) -> tuple[int, ...]:
    """The upper left pixel, of an image that must have come out as RGB."""
    image = decode_rgb(path, **options)  # type: ignore[arg-type]
    assert image.mode == "RGB"
    found = image.getpixel((0, 0))
    assert isinstance(found, tuple)
    return found


def test_alpha_is_composited_not_stripped(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.new("RGBA", (2, 2), (200, 0, 0, 51)))
    assert pixel(path) == (244, 204, 204)  # 0.2 * 200 + 0.8 * 255, 0.8 * 255
    assert pixel(path, background=(0, 0, 0)) == (40, 0, 0)
    assert pixel(path, background=(0, 100, 255)) == (40, 80, 204)


def test_grey_with_alpha(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.new("LA", (2, 2), (100, 0)))
    assert pixel(path) == (255, 255, 255)


def test_palette(tmp_path: Path) -> None:
    image = Image.new("P", (2, 2), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    assert pixel(saved(tmp_path / "a.png", image)) == (10, 20, 30)


def test_palette_with_a_transparent_colour(tmp_path: Path) -> None:
    image = Image.new("P", (2, 2), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    assert pixel(saved(tmp_path / "a.png", image, transparency=1)) == (255, 255, 255)
    assert pixel(saved(tmp_path / "b.png", image, transparency=0)) == (10, 20, 30)


def test_rgb_with_a_transparent_colour(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.new("RGB", (2, 2), (9, 8, 7)), transparency=(9, 8, 7))
    assert pixel(path, background=(1, 2, 3)) == (1, 2, 3)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_grey_is_scaled_not_clipped(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 257, 32896], [40000, 65535, 128]], np.uint16)
    path = saved(tmp_path / f"a{suffix}", Image.fromarray(values))
    seen = np.asarray(decode_rgb(path))
    assert seen[..., 0].tolist() == [[0, 1, 128], [156, 255, 0]]
    assert (seen[..., 0] == seen[..., 2]).all()


def test_32_bit_grey_is_scaled_by_its_maximum(tmp_path: Path) -> None:
    values = np.array([[0, 100_000], [50_000, 200_000]], np.int32)
    path = saved(tmp_path / "a.tif", Image.fromarray(values))
    assert np.asarray(decode_rgb(path))[..., 0].tolist() == [[0, 128], [64, 255]]


def test_float_grey(tmp_path: Path) -> None:
    values = np.array([[0.0, 0.2], [0.4, 1.0]], np.float32)
    path = saved(tmp_path / "a.tif", Image.fromarray(values))
    assert np.asarray(decode_rgb(path))[..., 0].tolist() == [[0, 51], [102, 255]]


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        ([0.0, 127.4, 255.0], [0, 127, 255]),
        ([0.0, 25700.0, 65535.0], [0, 100, 255]),
        ([np.nan, 0.2, 1.0], [0, 51, 255]),
        ([np.inf, -np.inf, 1.0], [0, 0, 255]),
    ],
)
def test_float_grey_of_other_ranges(tmp_path: Path, values: list[float], seen: list[int]) -> None:
    path = saved(tmp_path / "a.tif", Image.fromarray(np.array([values], np.float32)))
    assert np.asarray(decode_rgb(path))[..., 0].tolist() == [seen]


def test_one_bit(tmp_path: Path) -> None:
    image = Image.new("1", (2, 1), 0)
    image.putpixel((1, 0), 1)
    rgb = decode_rgb(saved(tmp_path / "a.png", image))
    assert np.asarray(rgb).tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_cmyk(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", Image.new("CMYK", (2, 2), (255, 0, 0, 0)))
    assert pixel(path) == (0, 255, 255)
    jpeg = saved(tmp_path / "a.jpg", Image.new("CMYK", (8, 8), (0, 0, 0, 255)), quality=100)
    assert max(pixel(jpeg)) <= 2


@pytest.mark.parametrize(
    ("orientation", "corner"), [(1, "red"), (3, "blue"), (6, "green"), (8, "white")]
)
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, corner: str) -> None:
    """EXIF 2.3, tag 0x0112: 3 = half a turn, 6 = a quarter turn clockwise, 8 = back."""
    colors = {"red": (255, 0, 0), "white": (255, 255, 255), "green": (0, 128, 0)}
    image = Image.new("RGB", (4, 2), (0, 0, 255))  # blue below right
    image.paste(colors["red"], (0, 0, 2, 1))
    image.paste(colors["white"], (2, 0, 4, 1))
    image.paste(colors["green"], (0, 1, 2, 2))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "a.png", image, exif=exif)
    assert pixel(path) == {**colors, "blue": (0, 0, 255)}[corner]
    assert decode_rgb(path).size == upright_size(path)
    assert upright_size(path) == ((2, 4) if orientation in (6, 8) else (4, 2))


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in ((250, 0, 0), (0, 250, 0))]
    path = tmp_path / "a.webp"
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    assert pixel(path) == (250, 0, 0)


def test_odd_metadata_is_no_error(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("Comment", "日本語", "ja", "コメント")
    path = saved(tmp_path / "a.png", Image.new("RGB", (2, 2), (1, 2, 3)), pnginfo=info)
    assert pixel(path) == (1, 2, 3)


def test_unreadable_files_say_why(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").write_bytes(b"")
    whole = saved(tmp_path / "whole.jpg", Image.new("RGB", (200, 200), (1, 2, 3)))
    (tmp_path / "torn.jpg").write_bytes(whole.read_bytes()[:300])
    for name, reason in (
        ("text.png", "not a picture"),
        ("empty.png", "not a picture"),
        ("torn.jpg", "(?i)truncated"),
        ("gone.png", "the file is gone"),
    ):
        with pytest.raises(UnreadableImageError, match=reason):
            decode_rgb(tmp_path / name)


def test_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow raises above twice MAX_IMAGE_PIXELS; below that it only warns, which we ignore."""
    assert 2 * Image.MAX_IMAGE_PIXELS == decode.MAX_PIXELS
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    assert pixel(saved(tmp_path / "a.png", Image.new("RGB", (10, 10), (5, 5, 5)))) == (5, 5, 5)
    with pytest.raises(UnreadableImageError, match="more than 178,956,970 pixels"):
        decode_rgb(saved(tmp_path / "b.png", Image.new("RGB", (10, 11))))


def test_jpeg_may_come_out_smaller_where_that_is_enough(tmp_path: Path) -> None:
    photo = Image.fromarray(load_sample_image("flower.jpg")).resize((1200, 800))
    path = saved(tmp_path / "a.jpg", photo, quality=90)
    whole = decode_rgb(path)
    for least_px, side in ((800, 800), (401, 800), (400, 400), (150, 200), (1, 100), (2000, 800)):
        image = decode_rgb(path, least_px=least_px)
        assert image.size == (side * 3 // 2, side)
    half = whole.resize((600, 400), Image.Resampling.BOX)
    found = np.asarray(decode_rgb(path, least_px=400)).astype(int)
    assert np.abs(found - np.asarray(half)).mean() < 1.5  # of 255
    png = saved(tmp_path / "a.png", photo)
    assert decode_rgb(png, least_px=100).size == photo.size
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = saved(tmp_path / "b.jpg", photo, exif=exif)
    assert decode_rgb(turned, least_px=400).size == (400, 600)
    grey = saved(tmp_path / "c.jpg", photo.convert("L"))
    assert decode_rgb(grey, least_px=400).size == (600, 400)


def test_content_that_would_run_a_program_is_no_picture(tmp_path: Path) -> None:
    """Pillow gives EPS to Ghostscript."""
    saved(tmp_path / "a.eps", Image.new("RGB", (4, 4))).rename(tmp_path / "a.jpg")
    with pytest.raises(UnreadableImageError, match="not a picture"):
        decode_rgb(tmp_path / "a.jpg")


def test_large_pictures_with_transparency_have_no_seams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 20, 4), dtype=np.uint8)
    path = saved(tmp_path / "a.png", Image.fromarray(pixels))
    whole = np.asarray(decode_rgb(path))
    monkeypatch.setattr(decode, "BAND_PX", 16)
    assert np.array_equal(np.asarray(decode_rgb(path)), whole)
