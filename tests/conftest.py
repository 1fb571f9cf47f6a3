"""What every test gets: a cache folder of its own, images to train on, the command line."""

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.core.hydra_config import HydraConfig
from PIL import Image

from pochitrain.cli.main import main

if "PYTEST_XDIST_WORKER" in os.environ:
    # Before torch is imported, here and in processes that tests start: more threads than cores
    # would make every test many times slower.
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


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


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Writes a run directory with models/best.pth: random weights, no training."""
    import torch
    from checkpoint_factory import checkpoint_content

    def make(class_names: list[str], content: Any = None, **config: Any) -> Path:
        run = tmp_path / "run"
        (run / "models").mkdir(parents=True)
        saved = checkpoint_content(class_names, **config) if content is None else content
        torch.save(saved, run / "models" / "best.pth")
        return run

    return make


@dataclass
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def pochi(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """pochi("epochs=1", ...): `python train.py epochs=1 ...` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*argv: str, command: str = "train", prog: str = "train.py") -> Outcome:
        code = 0
        try:
            with warnings.catch_warnings():
                main([command, *argv], prog=prog)
        except SystemExit as error:
            assert isinstance(error.code, int)
            code = error.code
        finally:
            HydraConfig.instance().cfg = None
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run
