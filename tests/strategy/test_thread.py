"""Small batches of features are computed by one thread."""

import pytest
import torch
from torch import Tensor, nn

from pochitrain.model.head import split_head
from pochitrain.strategy.head_model import HeadOnFeatures
from pochitrain.strategy.thread import SMALL_PRODUCTS, threads_for


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 8)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.fc(images)
        return scores


LIMIT = SMALL_PRODUCTS // (64 * 8)


@pytest.mark.parametrize(("batch_size", "expected"), [(1, 1), (LIMIT, 1), (LIMIT + 1, 3)])
def test_threads_of_a_head(batch_size: int, expected: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with threads_for(HeadOnFeatures(split_head(Model())), batch_size):
            assert torch.get_num_threads() == expected
        assert torch.get_num_threads() == 3
        with threads_for(Model(), batch_size):  # of images
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
