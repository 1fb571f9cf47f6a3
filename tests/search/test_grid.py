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
        ("compile=true,7", "^compile must be true or false, got 7"),
        (
            "seed=1,2,3 epochs=1,0",
            r"got 0\. \(3 of 6 jobs, those with epochs=0; none was started\.\)$",
        ),
        (
            "batch_size=0,8 epochs=0,1 scheduler=none,nosuch",
            r"(?s)^7 of 8 jobs cannot run; none was started:\n- epochs .*\n  2 jobs: those with "
            r"epochs=0 scheduler=none\n- batch_size .*those with batch_size=0 scheduler=none\n"
            r"- scheduler must be one of .*\n  4 jobs: those with scheduler=nosuch$",
        ),
        ("epochs=0 seed=1,2", "^epochs must be an integer >= 1, got 0\\.$"),
        ("seed=choice(1,2) epochs=range(0,3)", "2 of 6 jobs, those with epochs=0"),
        ("+hydra.sweeper.params={epochs:'0,1'}", "1 of 2 jobs, the one with epochs=0"),
        ("hydra.sweeper.max_batch_size=1 epochs=1,0", "1 of 2 jobs, the one with epochs=0"),
        ("hydra/launcher=joblib epochs=1,0", "1 of 2 jobs, the one with epochs=0"),
        ("model=glob(*)", "^model.name must be given.* model=timm, model=torchvision;"),
        ("experiment=fast,finetune", "^data.train_root must be given.*with experiment=finetune"),
        ("seed=${epochs} epochs=1,0", "^epochs must be an integer >= 1, got 0.*1 of 2 jobs"),
        ("data=folder data.val_fraction=0.5 data.train_root=x,y", "- data.train_root must be a "),
        ("data=table data.table=x.csv,y.csv", "must be a file with the ending .*'y.csv', which"),
    ],
)
def test_a_grid_with_a_wrong_job_is_refused_before_the_first(
    word: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        words = word.split(" ")
        run_app(["--multirun", *words, f"work_dir={tmp_path}/deep/out"], "train.py")
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


def test_of_a_very_large_grid_some_jobs_are_checked_before_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pochitrain.search.grid.MOST", 5)
    monkeypatch.setattr("pochitrain.cli.app.train_task", lambda cfg: 0.0)
    words = ["--multirun", f"work_dir={tmp_path}", "seed=range(3)", "epochs=range(1,4)"]
    run_app(words, "train.py")
    assert "Checked 5 of 9 jobs: those with every value once" in capsys.readouterr().out
    run_app(["--multirun", f"work_dir={tmp_path}", "seed=1,1,2"], "train.py")
    assert "Checked" not in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"^batch_size .* of 5 jobs, .*batch_size=0"):
        run_app([*words, "batch_size=8,16,0"], "train.py")
