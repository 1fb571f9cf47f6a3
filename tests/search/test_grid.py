"""`--multirun` without a search: all of it, or nothing."""

from pathlib import Path

import pytest

from pochitrain.cli.app import run_app
from pochitrain.error import ConfigError
from pochitrain.search.grid import restoring_when_refused


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("seed=range(0,-5)", r"^seed must have at least one value, got range\(0,-5\)"),
        ("scheduler=glob(nothing*)", "^scheduler must have at least one value, got glob"),
        ("epochs=1,0", "^epochs must be an integer >= 1, got 0"),
    ],
)
def test_a_grid_with_a_wrong_job_is_refused_before_the_first(
    word: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        run_app(["--multirun", word, f"work_dir={tmp_path}/deep/out"], "train.py")
    assert not list(tmp_path.iterdir())


def fail_in(folder: Path, run: str | None) -> None:
    """What Hydra does: the directory, its record, perhaps a run, and then an error."""
    with pytest.raises(ConfigError), restoring_when_refused(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "multirun.yaml").write_text("new")
        if run is not None:
            (folder / run).mkdir()
        raise ConfigError("wrong")


def test_a_grid_that_made_a_run_keeps_its_record(tmp_path: Path) -> None:
    fail_in(tmp_path / "a" / "b", "20260101_001")
    assert (tmp_path / "a" / "b" / "multirun.yaml").read_text() == "new"


def test_a_refused_grid_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "multirun.yaml").write_text("of the grid before")
    fail_in(tmp_path, None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["multirun.yaml", "old"]
    assert (tmp_path / "multirun.yaml").read_text() == "of the grid before"


def test_a_refused_grid_removes_only_its_own_directories(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    fail_in(tmp_path / "old" / "a" / "b", None)
    assert not list((tmp_path / "old").iterdir())
