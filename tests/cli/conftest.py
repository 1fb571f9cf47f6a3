"""Runs the command line in this process and says what a person would have seen."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig

from pochitrain.cli.main import main


@dataclass
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def pochi(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """pochi("epochs=1", ...): `python train.py epochs=1 ...` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*argv: str, command: str = "train", prog: str = "train.py") -> Outcome:
        code = 0
        try:
            with warnings.catch_warnings():
                main([command, *argv], prog=prog)
        except SystemExit as error:
            assert isinstance(error.code, int)
            code = error.code
        finally:
            HydraConfig.instance().cfg = None
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run
