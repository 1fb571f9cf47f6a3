"""What a run directory says about the code that ran."""

import subprocess
from pathlib import Path

import pytest

from pochitrain.run.directory import git_state


def git(*arguments: str) -> str:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    return subprocess.run(
        ["git", *identity, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.mark.parametrize("is_changed", [False, True])
def test_commit_and_whether_files_changed(
    is_changed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    Path("a").write_text("1")
    git("add", "a")
    git("commit", "-qm", "first")
    if is_changed:
        Path("b").write_text("2")
    assert git_state() == {"commit": git("rev-parse", "HEAD"), "changed": is_changed}


def test_no_commit_to_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert git_state() is None
    monkeypatch.chdir(tmp_path / "empty")
    git("init", "-q")
    assert git_state() is None
