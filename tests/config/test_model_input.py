"""A backbone brings its mean, std and size as defaults; what the user sets wins."""

from collections.abc import Iterator

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from pochitrain.config.registry import register_config
from pochitrain.paths import config_directory

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
HALF = ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])


@pytest.fixture
def hydra() -> Iterator[None]:
    register_config()
    with initialize_config_dir(str(config_directory())):
        yield


def seen(*words: str) -> tuple[list[float], list[float], int]:
    cfg: DictConfig = compose("config", ["transform=imagenet", *words])
    normalize = cfg.transform.val[-1]
    assert list(normalize.mean) == list(cfg.mean)
    assert cfg.transform.val[1].size == cfg.transform.size
    return list(cfg.mean), list(cfg.std), cfg.transform.size


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["model=resnet18"], (*IMAGENET, 224)),
        (["model=efficientnet_lite0"], (*HALF, 224)),
        (["model=efficientnet_lite1"], (*HALF, 240)),
        (["model=efficientnet_lite2"], (*HALF, 260)),
        (["model=timm", "model.name=tf_efficientnet_lite2"], (*HALF, 260)),
        (["model=timm", "model.name=test_resnet.r160_in1k"], (*HALF, 160)),
        (["model=timm", "model.name=resnet18.tv_in1k"], (*IMAGENET, 224)),
        (["model=timm", "model.name=nosuchmodel"], (*IMAGENET, 224)),
        (["model=timm", "model.name=resnet18.nosuchweights"], (*IMAGENET, 224)),
        (["model=timm"], (*IMAGENET, 224)),
        (["model=efficientnet_lite1", "transform.size=64"], (*HALF, 64)),
        (
            ["model=timm", "model.name=test_resnet", "mean=[0.1,0.2,0.3]"],
            ([0.1, 0.2, 0.3], HALF[1], 160),
        ),
    ],
)
def test_defaults_of_a_model(
    hydra: None, words: list[str], wanted: tuple[list[float], list[float], int]
) -> None:
    assert seen(*words) == wanted


@pytest.mark.parametrize(
    "option", ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]
)
def test_the_defaults_of_efficientnet_lite_are_timms(hydra: None, option: str) -> None:
    """They are written out, so that composing needs no import of timm."""
    assert seen(f"model={option}") == seen("model=timm", f"model.name=tf_{option}")
