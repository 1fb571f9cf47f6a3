"""Torch gets as many threads as the process has cores."""

import os

import pytest

from pochitrain import threads


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_a_container_with_half_a_core_gets_one_thread(
    clean_environment: pytest.MonkeyPatch,
) -> None:
    import torch

    before = torch.get_num_threads()
    clean_environment.setattr(threads, "num_cores", lambda: 1)
    try:
        torch.set_num_threads(2)
        threads.limit_threads()
        assert torch.get_num_threads() == 1
        torch.set_num_threads(2)
        clean_environment.setenv("OMP_NUM_THREADS", "2")
        threads.limit_threads()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_cores_follow_the_affinity() -> None:
    assert 1 <= threads.num_cores() <= (os.cpu_count() or 1)
