"""Evaluation: the accuracy without some of the images."""

import math

import pytest
import torch
from torch import nn

from pochitrain.data.loader import Batch
from pochitrain.engine.device import select_precision
from pochitrain.engine.evaluate import evaluate


def batches() -> list[Batch]:
    """Five images whose scores are their pixels: predicted 0 1 1 | 0 1, true 0 1 0 | 0 0."""
    scores = torch.tensor([[2.0, 0], [0, 2], [0, 2], [2, 0], [0, 2]])
    labels = torch.tensor([0, 1, 0, 0, 0])
    order = torch.arange(5)
    return [Batch(scores[i], labels[i], order[i]) for i in (slice(0, 3), slice(3, 5))]


def run(left_out: list[bool] | None) -> float | None:
    mask = None if left_out is None else torch.tensor(left_out)
    precision = select_precision("fp32", torch.device("cpu"))
    found = evaluate(nn.Identity(), batches(), nn.CrossEntropyLoss(), precision, (), mask)
    assert found.accuracy == 60  # always of all images
    return found.accuracy_of_kept


def test_images_that_are_left_out() -> None:
    assert run([False, False, True, False, False]) == 75
    assert run([True, True, False, True, False]) == 0
    assert run([False] * 5) == 60


def test_nothing_is_said_of_no_images() -> None:
    assert run(None) is None
    assert run([True] * 5) is None


def test_what_is_said_of_each_image_is_at_its_place() -> None:
    precision = select_precision("fp32", torch.device("cpu"))
    order = torch.tensor([4, 0, 2, 6, 1])  # as on one of two ranks
    moved = [Batch(b.images, b.labels, order[b.indices]) for b in batches()]
    found = evaluate(nn.Identity(), moved, nn.CrossEntropyLoss(), precision, num_images=7)
    assert found.predicted is not None and found.confidence is not None
    assert found.predicted.tolist() == [1, 1, 1, 0, 0, 0, 0]
    sure = 1 / (1 + math.exp(-2))
    expected = [sure, sure, sure, 0, sure, 0, sure]
    assert found.confidence.tolist() == pytest.approx(expected)
    without = evaluate(nn.Identity(), moved, nn.CrossEntropyLoss(), precision)
    assert without.predicted is None and without.confidence is None
