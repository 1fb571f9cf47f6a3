"""A job of a sweep that a scheduler has started again goes on with its run."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pochitrain.run.resume import find

GRID = [
    "--multirun",
    "data=folder",
    "data.train_root=photos",
    "data.val_fraction=0.5",
    "transform=minimal",
    "transform.size=32",
    "model=torchvision",
    "model.name=shufflenet_v2_x0_5",
    "device=cpu",
    "epochs=1",
]


@pytest.mark.long
def test_a_requeued_job_does_not_begin_again(
    pochi: Callable[..., Any],
    make_folder: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_folder(tmp_path / "photos", {"a": 8, "b": 8})
    for restarts, num_runs in (("0", 1), ("1", 1), ("0", 2)):
        monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
        outcome = pochi(*GRID)
        assert outcome.code == 0, outcome.err
        assert ("is finished: 1 of 1 epochs" in outcome.out) == (restarts == "1")
        runs = [path for path in (tmp_path / "outputs").iterdir() if path.is_dir()]
        assert len(runs) == num_runs, "a new grid makes new runs"


def test_a_trial_that_has_begun_before_is_known_by_its_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a repeat with another seed, which has no trial to report to."""
    search: Any = SimpleNamespace(optuna=SimpleNamespace(enabled=True))
    grid: Any = SimpleNamespace(optuna=SimpleNamespace(enabled=False))
    monkeypatch.setattr(find, "requested_directory", lambda cfg: (tmp_path, tmp_path / "trial"))
    assert not find.was_requeued(search)
    (tmp_path / "trial").mkdir()
    (tmp_path / "trial" / "config.yaml").touch()
    assert find.was_requeued(search)
    assert not find.was_requeued(grid), "in a plain grid the directory may be that of another run"
