"""The steps that are built: the lists of the config, with what the keys beside them add."""

from typing import Any

import pytest

from pochitrain.config.transform_step import complete_steps
from pochitrain.error import ConfigError

MEAN = [0.5, 0.0, 1.5]
V1, V2 = "torchvision.transforms", "torchvision.transforms.v2"
TENSOR = {"_target_": f"{V1}.ToTensor"}
BICUBIC = {"_target_": f"{V1}.InterpolationMode", "value": "bicubic"}
FLIP = {"_target_": f"{V2}.RandomHorizontalFlip"}


def step(name: str, size: Any = 64, home: str = V2, **more: Any) -> dict[str, Any]:
    return {"_target_": f"{home}.{name}", "size": size, **more}


def fit_image(size: int, mode: str = "pad") -> dict[str, Any]:
    target = "pochitrain.transform.fit.FitImage"
    return {"_target_": target, "size": size, "mode": mode, "fill": [128, 0, 255]}


def nodes(steps: list[Any], **values: Any) -> list[Any]:
    return [node for _, node in complete_steps({"train": steps, **values}, "train", MEAN)]


WHOLE = {"fit": "pad", "size": 64}


@pytest.mark.parametrize(
    ("steps", "values", "expected"),
    [
        # as they are
        ([step("RandomResizedCrop"), TENSOR], {}, [step("RandomResizedCrop"), TENSOR]),
        (
            [step("Resize", 73), step("CenterCrop"), TENSOR],
            {"fit": "crop", "size": 64, "crop_scale": None},
            [step("Resize", 73), step("CenterCrop"), TENSOR],
        ),
        # crop_scale
        (
            [FLIP, step("RandomResizedCrop", home=V1), TENSOR],
            {"fit": "crop", "crop_scale": 0.4},
            [FLIP, step("RandomResizedCrop", home=V1, scale=[0.4, 1.0]), TENSOR],
        ),
        (
            [step("RandomResizedCrop", scale=[0.9, 1.0])],
            {"fit": "crop", "crop_scale": 0.4},
            [step("RandomResizedCrop", scale=[0.9, 1.0])],
        ),
        # interpolation
        (
            [step("Resize", 73), step("CenterCrop"), FLIP],
            {"fit": "crop", "interpolation": "bicubic"},
            [step("Resize", 73, interpolation=BICUBIC), step("CenterCrop"), FLIP],
        ),
        (
            [step("RandomResizedCrop", home=V1), step("Resize", 8, interpolation=2)],
            {"interpolation": "bicubic"},
            [
                step("RandomResizedCrop", home=V1, interpolation=BICUBIC),
                step("Resize", 8, interpolation=2),
            ],
        ),
        (
            [step("Resize", 73), step("CenterCrop", 48), TENSOR],
            {**WHOLE, "interpolation": "bicubic"},
            [fit_image(48) | {"interpolation": "bicubic"}, TENSOR],
        ),
        ([step("Resize", 73)], {"interpolation": None}, [step("Resize", 73)]),
        # whole images
        (
            [step("Resize", 73), step("CenterCrop", [48, 48]), TENSOR],
            WHOLE,
            [fit_image(48), TENSOR],
        ),
        ([step("Resize", [48, 48]), TENSOR], WHOLE, [fit_image(48), TENSOR]),
        ([step("Resize", 48), TENSOR], WHOLE, [fit_image(64), TENSOR]),
        ([TENSOR], {"fit": "squash", "size": 32}, [fit_image(32, "squash"), TENSOR]),
        (
            [step("RandomResizedCrop", 48), FLIP],
            WHOLE,
            [fit_image(68), step("RandomResizedCrop", 48, scale=[0.5, 1.0]), FLIP],
        ),  # 48 / sqrt(0.5) = 67.9
        (
            [step("RandomResizedCrop", 48), FLIP],
            {**WHOLE, "crop_scale": 0.25},
            [fit_image(96), step("RandomResizedCrop", 48, scale=[0.25, 1.0]), FLIP],
        ),
    ],
)
def test_steps(steps: list[Any], values: dict[str, Any], expected: list[Any]) -> None:
    before = [dict(node) for node in steps]
    assert nodes(steps, **values) == expected
    assert steps == before


def test_messages_count_as_the_list_does() -> None:
    keys = [key for key, _ in complete_steps({"val": [FLIP, TENSOR], **WHOLE}, "val", MEAN)]
    assert keys == ["transform.val[fit]", "transform.val[0]", "transform.val[1]"]


def test_a_step_that_is_not_square() -> None:
    with pytest.raises(
        ConfigError, match=r"^transform\.train\[1\]\.size must be one number with transform\.fit="
    ):
        nodes([step("Resize", 80), step("CenterCrop", [64, 48])], **WHOLE)
