"""What every test gets: a cache folder of its own, and pictures to train on."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing a test remembers reaches the person's cache, or another test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def make_folder() -> Callable[..., Path]:
    """Writes ROOT/<class>/<n>.png: noise around one grey level for each class."""

    def make(root: Path, counts: dict[str, int], side_px: int = 32, suffix: str = ".png") -> Path:
        for level, (name, count) in enumerate(sorted(counts.items())):
            folder = root / name
            folder.mkdir(parents=True)
            for i in range(count):
                generator = np.random.default_rng([level, i])
                noise = generator.integers(0, 60, (side_px, side_px, 3))
                pixels = (noise + 190 * level / max(1, len(counts) - 1)).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{i:03d}{suffix}")
        return root

    return make
