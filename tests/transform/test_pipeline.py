"""A pipeline is tried before training, and the message says what to add."""

import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import v2

from pochitrain.error import ConfigError
from pochitrain.transform.pipeline import build_pipeline, try_pipeline

TENSOR = transforms.ToTensor()


def test_says_whether_sizes_are_made_equal() -> None:
    assert try_pipeline(build_pipeline([v2.Resize((8, 9)), TENSOR]), "transform.val") is True
    assert try_pipeline(build_pipeline([TENSOR]), "transform.val") is False
    assert try_pipeline(build_pipeline([v2.Resize(8), TENSOR]), "transform.val") is False


@pytest.mark.parametrize(
    ("steps", "seen"),
    [
        ([], "got Image"),
        ([v2.RandomHorizontalFlip()], "got Image"),
        ([v2.PILToTensor()], r"got uint8 tensor of shape \(3, 30, 40\)"),
        ([v2.Grayscale(), TENSOR], r"got float32 tensor of shape \(1, 30, 40\)"),
        ([TENSOR, torch.nn.Flatten(0)], r"got float32 tensor of shape \(3600,\)"),
    ],
)
def test_something_else_than_a_picture_tensor(steps: list[object], seen: str) -> None:
    message = rf"^transform\.train must give a float tensor of shape \(3, H, W\), {seen}\. Add .*To"
    with pytest.raises(ConfigError, match=message):
        try_pipeline(v2.Compose(steps) if steps else lambda image: image, "transform.train")


def test_a_step_that_fails_is_named_with_its_reason() -> None:
    normalize = v2.Normalize([0.5], [0.5, 0.5])
    with pytest.raises(
        ConfigError, match=r"^transform\.val fails on a picture of 1600 x 1200 pixels: "
    ):
        try_pipeline(build_pipeline([TENSOR, normalize]), "transform.val")


def test_the_trial_draws_nothing_from_the_global_generator() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    try_pipeline(build_pipeline([v2.RandomResizedCrop(8), TENSOR]), "transform.train")
    assert torch.equal(torch.rand(1), expected)


STRIP = Image.new("RGB", (4000, 3))


@pytest.mark.parametrize(
    "steps",
    [
        [TENSOR],
        [v2.RandomResizedCrop(8), v2.Resize(400), TENSOR],
        [v2.Resize((8, 8)), TENSOR],
        [v2.Resize(8, max_size=1600), TENSOR],
        [v2.Resize(8), v2.CenterCrop(8), TENSOR],
        [transforms.CenterCrop(8), transforms.Resize(8), TENSOR],
    ],
)
def test_a_strip_is_taken_where_it_stays_small(steps: list[object]) -> None:
    assert build_pipeline(steps)(STRIP).shape[0] == 3


@pytest.mark.parametrize(
    ("steps", "seen"),
    [
        # 3 -> 600 is 200-fold, and 4000 -> 800,000
        ([v2.Resize(600), v2.CenterCrop(8), TENSOR], "Resize would make 800,000 x 600 pixels"),
        ([v2.RandomApply([transforms.Resize([600])]), TENSOR], "Resize would make 800,000 x 600"),
        ([v2.RandomShortestSize([8, 600]), TENSOR], "RandomShortestSize would make 800,000 x 600"),
    ],
)
def test_a_picture_that_would_fill_the_memory_is_refused(steps: list[object], seen: str) -> None:
    with pytest.raises(ValueError, match=f"^{seen}"):
        build_pipeline(steps)(STRIP)
