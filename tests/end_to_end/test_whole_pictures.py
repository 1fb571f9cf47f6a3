"""transform.fit and transform.size=auto, from the folder to the exported model."""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from pochitrain.engine.checkpoint import load_checkpoint

MODULE = '''
from torch import nn


class Small(nn.Sequential):
    """The average answer of 4 x 4 px filters: quick, and it does not mind the place."""

    def __init__(self, num_classes):
        super().__init__(
            nn.Conv2d(3, 16, 4, stride=2), nn.ReLU(), nn.Conv2d(16, 16, 1), nn.ReLU(),
            nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(16, num_classes),
        )
'''
WORDS = [
    "data=folder",
    "data.train_root=photos/train",
    "data.val_root=photos/val",
    "data.num_workers=0",
    "transform.size=32",
    "learning_rate=0.01",
    "batch_size=16",
    "device=cpu",
    "metrics.export=false",
]


@pytest.fixture
def wide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """4:1 pictures of noise whose class is a colour at the left or the right edge: the words of a
    command that trains on them."""
    colors = {"blue": (20, 40, 250), "green": (20, 250, 40)}
    for split, count in (("train", 48), ("val", 24)):
        for name, color in colors.items():
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                generator = np.random.default_rng([len(split), len(name), i])
                pixels = generator.integers(60, 180, (24, 96, 3)).astype(np.uint8)
                left = 0 if i % 2 else 84
                pixels[:, left : left + 12] = color
                Image.fromarray(pixels).save(folder / f"{i:02d}.png")
    (tmp_path / "small_network.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.syspath_prepend(str(tmp_path))
    option = tmp_path / "own" / "model" / "small.yaml"
    option.parent.mkdir(parents=True)
    option.write_text("_target_: small_network.Small\n")
    allowed = "allow_targets=[small_network.*]"
    return ["--config-dir=own", "model=small", allowed, *WORDS, "hydra.run.dir=run"]


def accuracy(run: Path) -> float:
    return float(load_checkpoint(run / "models" / "last.pth")["history"][-1]["val_accuracy"])


def test_what_is_at_the_edges_is_seen(pochi: Callable[..., Any], wide: list[str]) -> None:
    cut = pochi(*wide, "epochs=8", "hydra.run.dir=cut")
    assert cut.code == 0, cut.err
    assert "Warning: transform.fit=crop: a crop cuts away 75% of the median picture" in cut.out
    assert accuracy(Path("cut")) <= 65

    whole = pochi(*wide, "epochs=8", "transform.fit=auto")
    assert whole.code == 0, whole.err
    assert "squash, because a crop would cut away 75% of the median picture" in whole.out
    assert "Warning" not in whole.out
    assert accuracy(Path("run")) >= 95
    print(f"crop {accuracy(Path('cut')):.1f} %, auto {accuracy(Path('run')):.1f} %")  # pytest -s

    asked = pochi(*wide, "epochs=1", "transform.fit=crop", "hydra.run.dir=asked")
    assert "Warning" not in asked.out


@pytest.mark.parametrize(
    ("words", "scale"),
    [
        (["transform.size=96"], 0.6),
        (["transform.size=97"], 0.08),
        (["transform.size=128", "transform.fit=pad"], 0.5),
        (["transform.size=auto", "transform.fit=squash"], 0.6),
    ],
)
def test_small_pictures_are_cropped_less(
    pochi: Callable[..., Any], wide: list[str], words: list[str], scale: float
) -> None:
    few = ["transform.crop_scale=auto", "epochs=1", "scheduler=none", *words]
    outcome = pochi(*wide, *few)
    assert outcome.code == 0, outcome.err
    assert f"crops     at least {scale:g} of the area in training, at " in outcome.out
    saved = load_checkpoint(Path("run/models/last.pth"))
    assert saved["config"]["transform"]["crop_scale"] == scale
    crop = next(step for step in saved["transforms"]["train"] if "scale" in step)
    assert crop["scale"] == [scale, 1.0]
    again = pochi(*wide, *few, "epochs=2", "resume=run")
    assert again.code == 0, again.err


def test_the_choice_is_kept(pochi: Callable[..., Any], wide: list[str]) -> None:
    words = [*wide, "scheduler=none", "transform.fit=auto", "transform.size=auto"]
    first = pochi(*words, "epochs=1")
    assert first.code == 0, first.err
    assert "64 px, because the median side is 48 px" in first.out  # sqrt(24 * 96)
    saved = OmegaConf.load("run/config.yaml")
    assert (saved.transform.fit, saved.transform.size) == ("squash", 64)
    content = load_checkpoint(Path("run/models/last.pth"))
    square = {
        "_target_": "pochitrain.transform.fit.FitImage",
        "size": 64,
        "mode": "squash",
        "fill": [124, 116, 104],
    }
    assert content["transforms"]["val"][0] == square
    assert content["transforms"]["train"][0] == {**square, "size": 91}  # 64 / sqrt(0.5)
    assert content["input_size"] == [64, 64]

    for path in Path("photos/train").rglob("*.png"):  # now they would be cropped
        Image.new("RGB", (48, 48)).save(path)
    again = pochi(*words, "epochs=2", "resume=run")
    assert again.code == 0, again.err
    assert load_checkpoint(Path("run/models/last.pth"))["transforms"]["val"][0] == square
    Path("run/status.json").unlink()  # as if it had been interrupted
    third = pochi(*words, "epochs=3", "resume=auto")
    assert third.code == 0, third.err
    assert "Resuming run after 2 of 3 epochs" in third.out

    other = pochi(*wide, "scheduler=none", "transform.fit=pad", "resume=run", "epochs=4")
    assert other.code == 2
    assert "transform.fit must be as in the run that is continued ('squash'), got 'pad'" in (
        other.err
    )

    seen = pochi("run", "--data", "photos/val", "--allow", "small_network.*", command="infer")
    assert seen.code == 0, seen.err
    file = pochi("run", "--allow", "small_network.*", command="export")
    assert file.code == 0, file.out + file.err


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("transform.size=big", "transform.size must be an integer or auto, got 'big'."),
        ("transform.size=32.5", "transform.size must be an integer"),
        ("transform.fit=whole", "transform.fit must be one of crop, pad, squash, auto, got"),
        ("transform.crop_pct=0", "transform.crop_pct must be a number >= 0.01 and <= 1, got 0"),
        ("transform.crop_pct=1.1", "transform.crop_pct must be a number >= 0.01 and <= 1, got 1.1"),
        ("transform.crop_pct=nan", "transform.crop_pct must be a number >= 0.01 and <= 1, got nan"),
        ("transform.crop_pct=1e-320", "transform.crop_pct must be a number >= 0.01 and <= 1, got"),
        ("transform.interpolation=cubic", "transform.interpolation must be one of bilinear, bic"),
        (
            "transform.crop_scale=much",
            "transform.crop_scale must be a number > 0 and <= 1, or auto",
        ),
        ("transform.crop_scale=0", "transform.crop_scale must be a number > 0 and <= 1, got 0"),
    ],
)
def test_wrong_values(pochi: Callable[..., Any], wide: list[str], word: str, message: str) -> None:
    outcome = pochi(*wide, word)
    assert outcome.code == 2
    assert message in outcome.err + outcome.out
    assert not [*Path("run").glob("*")]
