"""What a network cannot take is found before training, in one message, and changes nothing."""

import copy

import pytest
import torch
from torch import nn
from torchvision import models

from pochitrain.error import ConfigError
from pochitrain.model.smoke_test import compute_shape, smoke_test


def batch(count: int, side_px: int = 4) -> torch.Tensor:
    return torch.randn(count, 3, side_px, side_px)


@pytest.mark.parametrize(
    ("layers", "count", "message"),
    [
        ((nn.MaxPool2d(2), nn.MaxPool2d(8)), 8, "does not accept pictures of 4 x 4 px .*too small"),
        ((nn.Flatten(), nn.Linear(5, 5)), 8, "does not accept pictures of 4 x 4 px"),
        ((nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3)), 1, "batch_size must be >= 2"),
        ((nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 7)), 2, r"\(2, 2\) .* got \(2, 7\)"),
    ],
)
def test_what_a_model_cannot_take(layers: tuple[nn.Module, ...], count: int, message: str) -> None:
    model = nn.Sequential(*layers, nn.Flatten())
    with pytest.raises(ConfigError, match=message):
        smoke_test(model, batch(count), 2, training=True)


def test_the_model_and_the_random_numbers_stay_as_they_were() -> None:
    parts = nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3), nn.Flatten(), nn.Dropout(), nn.Linear(3, 2)
    model = nn.Sequential(*parts)
    images = batch(4)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    generator = torch.get_rng_state()
    smoke_test(model, images, 2, training=True)
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_one_picture_is_enough_where_batch_norm_is_frozen() -> None:
    parts = nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 2)
    smoke_test(nn.Sequential(*parts), batch(1), 2, training=False)


SIDES_PX = (4, 8, 16, 32, 64)


@pytest.mark.parametrize("name", ["alexnet", "densenet121", "resnet18", "squeezenet1_1"])
def test_the_shape_of_pictures_says_whether_a_model_takes_them(name: str) -> None:
    model = models.get_model(name, num_classes=3)
    refused = []
    with torch.no_grad():
        for side_px in SIDES_PX:
            images = batch(2, side_px)
            found = compute_shape(model, images, training=True)
            if found is None:
                with pytest.raises(RuntimeError):
                    copy.deepcopy(model).train().forward(images)
                refused.append(side_px)
            else:
                assert found.shape == copy.deepcopy(model).train().forward(images).shape
    assert refused == REFUSED_PX[name]


REFUSED_PX = {
    "alexnet": [4, 8, 16, 32],
    "densenet121": [4, 8, 16],
    "resnet18": [],
    "squeezenet1_1": [4, 8, 16],
}


class OnlyDarkImages(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.max() > 0:
            raise ValueError("too bright")
        return images.new_zeros(len(images), 2)


def test_a_model_of_somebody_else_gets_the_images_themselves() -> None:
    assert compute_shape(OnlyDarkImages(), batch(2), training=True) is None
    with pytest.raises(ConfigError, match="too bright"):
        smoke_test(OnlyDarkImages(), batch(2).abs(), 2, training=True)
    changed = nn.Flatten()
    changed.forward = OnlyDarkImages().forward  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match="too bright"):
        smoke_test(nn.Sequential(changed), batch(2).abs(), 2, training=True)
