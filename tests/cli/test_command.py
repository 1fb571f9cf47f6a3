"""The command that messages repeat is the one that was typed."""

import pytest

from pochitrain import command


@pytest.mark.parametrize(
    ("prog", "uv", "expected"),
    [
        ("train.py", False, ["python", "train.py"]),
        ("train.py", True, ["uv", "run", "python", "train.py"]),
        ("pochi", False, ["pochi", "train"]),
        ("pochi", True, ["uv", "run", "pochi", "train"]),
    ],
)
def test_as_typed(
    monkeypatch: pytest.MonkeyPatch, prog: str, uv: bool, expected: list[str]
) -> None:
    monkeypatch.setattr(command, "program", [])
    monkeypatch.setattr(command, "arguments", [])
    monkeypatch.delenv("UV", raising=False)
    if uv:
        monkeypatch.setenv("UV", "/usr/bin/uv")
    command.remember_command(prog, ["train", "epochs=3", "resume=auto"])
    assert command.typed_command() == (expected, ["epochs=3", "resume=auto"])
