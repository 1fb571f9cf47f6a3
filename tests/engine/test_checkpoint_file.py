"""What is refused as a checkpoint, and that nothing in a file is executed."""

from pathlib import Path

import pytest
import torch

from pochitrain.engine.checkpoint import load_checkpoint
from pochitrain.error import ConfigError


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this must not run",)


def test_pickled_code_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "last.pth"
    torch.save({"format": 1, "model": Evil()}, path)
    with pytest.raises(ConfigError, match=r"holds pickled code or is damaged; it is not loaded"):
        load_checkpoint(path)
    assert capsys.readouterr().out == ""


def test_a_torn_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "last.pth"
    torch.save({"format": 1, "model": {"w": torch.zeros(1000)}}, path)
    whole = path.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 10):
        path.write_bytes(whole[:length])
        with pytest.raises(ConfigError, match=r"damaged"):
            load_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {}}, "is not a checkpoint of pochitrain"),
        ([1, 2], "is not a checkpoint of pochitrain"),
        ({"format": 99}, "has format 99, this version reads 1"),
    ],
)
def test_something_else_is_refused(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "last.pth")
    with pytest.raises(ConfigError, match=message):
        load_checkpoint(tmp_path / "last.pth")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must be a file, got .*, which is not there"):
        load_checkpoint(tmp_path / "nosuch.pth")
