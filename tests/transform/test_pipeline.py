"""A pipeline is tried before training, and the message says what to add."""

import pytest
import torch
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
