"""The threads of a computation give the cores back while they have nothing to do."""

import os
import subprocess
import sys

import pytest

from pochitrain import threads


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_spinning_is_bounded(clean_environment: pytest.MonkeyPatch) -> None:
    clean_environment.setenv("GOMP_SPINCOUNT", "")  # restored after the test
    del os.environ["GOMP_SPINCOUNT"]
    threads.stop_spinning()
    assert os.environ["GOMP_SPINCOUNT"] == threads.SPIN_COUNT


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_what_the_user_set_stays(clean_environment: pytest.MonkeyPatch, name: str) -> None:
    clean_environment.setenv(name, "7")
    threads.stop_spinning()
    assert os.environ.get("GOMP_SPINCOUNT") == ("7" if name == "GOMP_SPINCOUNT" else None)


def test_command_line_bounds_it_before_torch_is_imported(
    clean_environment: pytest.MonkeyPatch,
) -> None:
    code = (
        "import os, sys\n"
        "from pochitrain.cli.main import main\n"
        "main(['--version'])\n"
        "print('torch' in sys.modules, os.environ['GOMP_SPINCOUNT'])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.splitlines()[1:] == [f"False {threads.SPIN_COUNT}"]


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


def test_processes_that_train_together_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 8)
    assert threads.num_cores() == 8
    place = {"RANK": "0", "WORLD_SIZE": "4", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "4"}
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    assert threads.num_cores() == 2
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "8")  # srun has given each its own 8
    assert threads.num_cores() == 8
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "2")  # but here it has not bound them
    assert threads.num_cores() == 2
