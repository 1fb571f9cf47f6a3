"""What a network cannot take is found before training, in one message, and changes nothing."""

import pytest
import torch
from torch import nn

from pochitrain.error import ConfigError
from pochitrain.model.smoke_test import smoke_test


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
