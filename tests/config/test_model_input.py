"""A backbone brings its mean, std and size as defaults; what the user sets wins."""

from collections.abc import Iterator

import numpy as np
import pytest
import timm
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from PIL import Image
from timm.data import create_transform

from pochitrain.config.component import Components
from pochitrain.config.registry import register_config
from pochitrain.paths import config_directory
from pochitrain.run.build import build_pipelines

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
HALF = ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])
PLAIN = (None, 0.875)
Seen = tuple[list[float], list[float], int, str | None, float]


@pytest.fixture
def hydra() -> Iterator[None]:
    register_config()
    with initialize_config_dir(str(config_directory())):
        yield


def seen(*words: str) -> Seen:
    cfg: DictConfig = compose("config", ["transform=imagenet", *words])
    normalize = cfg.transform.val[-1]
    assert list(normalize.mean) == list(cfg.mean)
    assert cfg.transform.val[1].size == cfg.transform.size
    node = cfg.transform
    return list(cfg.mean), list(cfg.std), node.size, node.interpolation, node.crop_pct


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["model=resnet18"], (*IMAGENET, 224, *PLAIN)),
        (["model=efficientnet_lite0"], (*HALF, 224, "bicubic", 0.875)),
        (["model=efficientnet_lite1"], (*HALF, 240, "bicubic", 0.882)),
        (["model=efficientnet_lite2"], (*HALF, 260, "bicubic", 0.89)),
        (["model=timm", "model.name=tf_efficientnet_lite2"], (*HALF, 260, "bicubic", 0.89)),
        (["model=timm", "model.name=test_resnet.r160_in1k"], (*HALF, 160, "bilinear", 0.95)),
        (["model=timm", "model.name=resnet18.tv_in1k"], (*IMAGENET, 224, "bilinear", 0.875)),
        (["model=timm", "model.name=nosuchmodel"], (*IMAGENET, 224, *PLAIN)),
        (["model=timm", "model.name=resnet18.nosuchweights"], (*IMAGENET, 224, *PLAIN)),
        (["model=timm"], (*IMAGENET, 224, *PLAIN)),
        (["model=efficientnet_lite1", "transform.size=64"], (*HALF, 64, "bicubic", 0.882)),
        (
            [
                *("model=efficientnet_lite0", "transform.interpolation=null"),
                "transform.crop_pct=1.0",
            ],
            (*HALF, 224, None, 1.0),
        ),
        (
            ["model=timm", "model.name=test_resnet", "mean=[0.1,0.2,0.3]"],
            ([0.1, 0.2, 0.3], HALF[1], 160, "bilinear", 0.95),
        ),
    ],
)
def test_defaults_of_a_model(hydra: None, words: list[str], wanted: Seen) -> None:
    assert seen(*words) == wanted


@pytest.mark.parametrize(
    "option", ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]
)
def test_the_defaults_of_efficientnet_lite_are_timms(hydra: None, option: str) -> None:
    """They are written out, so that composing needs no import of timm."""
    assert seen(f"model={option}") == seen("model=timm", f"model.name=tf_{option}")


@pytest.mark.parametrize("name", ["tf_efficientnet_lite1", "resnet18.tv_in1k"])
def test_validation_sees_what_timm_would_show(hydra: None, name: str) -> None:
    """The same bits as timm's own transform, for a picture of another size and shape."""
    cfg = compose("config", ["data=folder", "model=timm", f"model.name={name}"])
    pipelines, _ = build_pipelines(Components(cfg))
    source = timm.get_pretrained_cfg(name)
    expected = create_transform(
        source.input_size,
        interpolation=source.interpolation,
        mean=source.mean,
        std=source.std,
        crop_pct=source.crop_pct,
    )
    pixels = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    image = Image.fromarray(pixels)
    assert torch.equal(pipelines["val"](image), expected(image))
