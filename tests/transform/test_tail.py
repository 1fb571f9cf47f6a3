"""The end of a pipeline, done by batch: bit for bit what it gives image by image."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as v1
from torchvision.transforms import v2

from pochitrain.transform.pipeline import build_pipeline
from pochitrain.transform.tail import split_tail

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
SCALE = v2.ToDtype(torch.float32, scale=True)
TAILS: list[list[Any]] = [
    [v1.ToTensor()],
    [v1.ToTensor(), v2.Normalize(MEAN, STD)],
    [v1.ToTensor(), v1.Normalize(MEAN, STD, inplace=True)],
    [v2.ToImage(), SCALE],
    [v2.ToImage(), SCALE, v2.Normalize(MEAN, STD)],
    [v1.PILToTensor(), SCALE, v1.Normalize(MEAN, STD)],
    [v2.PILToTensor(), v2.ConvertImageDtype(torch.float32), v2.Normalize(MEAN, STD)],
]


def noise(count: int, side: int) -> list[Image.Image]:
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side + 1, 3), dtype=np.uint8)
    return [Image.fromarray(image) for image in pixels]


@pytest.mark.parametrize("steps", TAILS)
@pytest.mark.parametrize("side", [5, 300])  # several images at once, less than one
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_batches_get_the_same_numbers(
    steps: list[Any], side: int, memory_format: torch.memory_format
) -> None:
    pipeline = build_pipeline([v2.CenterCrop(side), *steps])
    images = noise(3, side)
    expected = torch.stack([pipeline(image) for image in images])
    body, tail = split_tail(pipeline)
    assert tail is not None
    bodies = [torch.from_numpy(np.array(body(image))).permute(2, 0, 1) for image in images]
    batch = torch.stack(bodies).contiguous(memory_format=memory_format)
    found = tail(batch)
    assert type(found) is torch.Tensor and found.is_contiguous(memory_format=memory_format)
    assert torch.equal(found, expected)
    assert torch.equal(tail.one_by_one(body(images[1])), expected[1])


@pytest.mark.parametrize(
    "steps",
    [
        [v2.ToImage(), v2.ToDtype(torch.float32)],  # 0 to 255
        [v2.ToImage(), v2.ToDtype(torch.float64, scale=True)],
        [v1.ToTensor(), v2.RandomErasing(), v2.Normalize(MEAN, STD)],
        [v1.ToTensor(), v2.Normalize(MEAN, STD), v2.RandomErasing()],
        [SCALE, v2.Normalize(MEAN, STD)],
        [v2.Normalize(MEAN, STD)],
    ],
)
def test_other_ends_stay_as_they_are(steps: list[Any]) -> None:
    pipeline = build_pipeline(steps)
    assert split_tail(pipeline) == (pipeline, None)


def test_on_a_gpu_too() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    pipeline = build_pipeline(TAILS[1])
    tail = split_tail(pipeline)[1]
    assert tail is not None
    batch = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).repeat(1, 3, 1, 1)
    assert torch.equal(tail(batch.cuda()).cpu(), tail(batch))


def test_a_torchvision_that_calculates_otherwise_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline = build_pipeline([v1.ToTensor()])
    assert split_tail(pipeline)[1] is not None
    monkeypatch.setattr(v1.ToTensor, "__call__", lambda self, image: SCALE(v2.ToImage()(image)))
    assert split_tail(pipeline) == (pipeline, None)  # rounds otherwise
