"""How many threads train a last layer."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from pochitrain.strategy.head_model import HeadOnFeatures

SMALL_PRODUCTS = 2**21
"""Multiplications of a forward pass, up to which waking a second thread takes longer than it saves:
about 100 microseconds on one core."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread, whose matrices are so small that a second one costs time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def threads_for(model: nn.Module, batch_size: int) -> Iterator[None]:
    """One thread for batches of features that are small, else as many as there are.

    So the last bits do not depend on the number of cores either.
    """
    small = isinstance(model, HeadOnFeatures) and (
        batch_size * model.layer.in_features * model.layer.out_features <= SMALL_PRODUCTS
    )
    if not small:
        yield
        return
    with one_thread():
        yield
