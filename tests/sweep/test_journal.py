"""The journal file: torn lines, and processes that append at the same time."""

import errno
import multiprocessing
import os
from pathlib import Path
from typing import Any

import optuna
import pytest

from pochitrain.error import ConfigError
from pochitrain.sweep.journal import WholeLineBackend
from pochitrain.sweep.storage import open_storage


def make_study(path: Path) -> optuna.Study:
    return optuna.create_study(study_name="s", storage=open_storage(f"journal://{path}"))


@pytest.mark.parametrize("torn", [b'{"op_code":5,"wor', b"x" * 10_000])
def test_half_a_line_of_a_full_disk_is_removed(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "s.journal"
    study = make_study(path)
    study.tell(study.ask(), 1.0)
    with open(path, "ab") as file:
        file.write(torn)
    study.tell(study.ask(), 2.0)
    study = optuna.load_study(study_name="s", storage=open_storage(f"journal://{path}"))
    assert [trial.value for trial in study.trials] == [1.0, 2.0]
    assert torn not in path.read_bytes()


def test_a_journal_of_nothing_but_half_a_line(tmp_path: Path) -> None:
    path = tmp_path / "s.journal"
    path.write_bytes(b'{"op_c')
    WholeLineBackend(str(path)).append_logs([{"a": 1}])
    assert path.read_bytes() == b'{"a":1}\n'


def test_no_links_are_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shared folders of Windows have none."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "symlink", refuse)
    study = make_study(tmp_path / "s.journal")
    study.tell(study.ask(), 1.0)
    assert [file.name for file in tmp_path.iterdir()] == ["s.journal"], "a lock was left"


def test_a_file_that_is_no_journal(tmp_path: Path) -> None:
    (tmp_path / "s.log").write_text("first\nsecond\nthird\n")
    with pytest.raises(ConfigError, match=r"^optuna.storage must .*JSONDecodeError"):
        open_storage(f"journal://{tmp_path}/s.log", "optuna.storage")


def append(path: str, name: str, count: int) -> None:
    backend = WholeLineBackend(path)
    for number in range(count):
        backend.append_logs([{"writer": name, "number": number}])


def test_no_line_of_several_processes_is_lost(tmp_path: Path) -> None:
    path = str(tmp_path / "s.journal")
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=append, args=(path, name, 50)) for name in "abc"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    lines = list(WholeLineBackend(path).read_logs(0))
    for name in "abc":
        assert [line["number"] for line in lines if line["writer"] == name] == list(range(50))
