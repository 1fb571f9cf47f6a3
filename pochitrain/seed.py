"""Seeds derived from their purpose, so that random numbers do not depend on what ran before."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed computed from `parts` (BLAKE2b), the same on every machine."""
    text = ":".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@contextmanager
def seeded_cpu(*parts: int | str) -> Iterator[None]:
    """Seed the CPU generators of Python, NumPy and torch from `parts`; restore them afterwards.

    The default torch generator is seeded directly: torch.manual_seed would also queue a call for
    every GPU, once per image.
    """
    with kept_cpu():
        seed_cpu(derive_seed(*parts))
        yield


@contextmanager
def kept_cpu() -> Iterator[None]:
    """After, the CPU generators of Python, NumPy and torch are as they were before."""
    before = (random.getstate(), np.random.get_state(), torch.get_rng_state())
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


def seed_cpu(seed: int, *, torch_only: bool = False) -> None:
    """Start the CPU generators of Python, NumPy and torch from `seed`.

    Args:
        torch_only: leave out the other two, for what is known to draw from torch only.
    """
    if not torch_only:
        random.seed(seed)
        np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)
