"""Pictures that look like something: smooth at every scale, and all different."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pochitrain.check.pictures import Pictures
from pochitrain.data.dataset import DataSplits
from pochitrain.data.folder import ImageFolderDataset


def paint(seed: int, side_px: int = 96) -> Image.Image:
    """Noise of four scales, each as strong as the next finer one is weak."""
    generator = np.random.default_rng(seed)
    total = np.zeros((side_px, side_px, 3), np.float32)
    for cells in (4, 8, 16, 32):
        noise = generator.normal(0, 60 / cells**0.5, (cells, cells, 3)) + 128
        layer = Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8))
        total += np.asarray(layer.resize((side_px, side_px), Image.Resampling.BICUBIC), np.float32)
    return Image.fromarray(np.clip(total - 3 * 128, 0, 255).astype(np.uint8))


@pytest.fixture
def picture() -> Callable[..., Image.Image]:
    return paint


@pytest.fixture
def pictures_of(tmp_path: Path) -> Callable[..., Pictures]:
    """Pictures of two classes, a and b, from lists of images for each side."""

    def make(train: list[Image.Image], val: list[Image.Image], labels: list[int] | None = None):
        sides = []
        rest = labels or [0] * (len(train) + len(val))
        for name, images in (("train", train), ("val", val)):
            (tmp_path / name).mkdir()
            paths = []
            for i, image in enumerate(images):
                path = tmp_path / name / f"{i}.png"
                image.save(path)
                paths.append(str(path))
            sides.append(ImageFolderDataset(paths, rest[: len(images)]))
            rest = rest[len(images) :]
        return Pictures(DataSplits(sides[0], sides[1] if val else None, ["a", "b"], []))

    return make
