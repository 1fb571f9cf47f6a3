"""A run directory that cannot be: one message, and nothing is left behind."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pochitrain.error import ConfigError
from pochitrain.paths import require_new_directory

Pochi = Callable[..., Any]


@pytest.mark.parametrize("place", ["file/run", "file"], ids=["under a file", "a file"])
@pytest.mark.parametrize(
    ("key", "words"), [("hydra.run.dir", []), ("hydra.sweep.dir", ["--multirun", "seed=1,2"])]
)
def test_where_no_directory_can_be(
    pochi: Pochi, tmp_path: Path, place: str, key: str, words: list[str]
) -> None:
    (tmp_path / "file").write_text("")
    outcome = pochi("epochs=1", f"{key}={place}", *words)
    assert outcome.code == 2
    assert outcome.err.startswith(f"{key} must be a directory that can be made and written to")
    assert f"got {place!r} (" in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_directory_that_cannot_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(dir: Path) -> None:
        raise PermissionError(13, os.strerror(13), str(dir))

    monkeypatch.setattr("pochitrain.paths.TemporaryFile", refuse)
    with pytest.raises(ConfigError, match=r"hydra\.run\.dir must be .*Permission denied"):
        require_new_directory(tmp_path)
