"""Composing is quick: a fresh interpreter shows the config without importing anything heavy."""

import os
import subprocess
import sys

import pytest

HEAVY = "torch torchvision matplotlib optuna sklearn pandas plotly scipy PIL"


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    """`pochi ARGV` in a fresh interpreter, which says at its end what it has imported."""
    code = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print('imported:', *sorted(set('{HEAVY}'.split())"
        " & set(sys.modules)), file=sys.stderr))\n"
        "from pochitrain.cli.main import main\n"
        f"main({list(argv)!r})\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ)
    )


@pytest.mark.parametrize(
    "argv",
    [
        ("train", "--cfg", "job"),
        ("train", "--help"),
        ("train", "experiment=fast", "--cfg", "job", "--resolve"),
        ("--help",),
        ("--version",),
    ],
    ids=" ".join,
)
def test_shows_without_heavy_imports(argv: tuple[str, ...]) -> None:
    result = run(*argv)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()
    assert result.stderr == "imported:\n"


@pytest.mark.parametrize(
    "argv",
    [
        ("train", "epochs=0"),
        ("train", "scheduler=nosuch"),
        ("train", "data.seed=${nope}"),
        ("train", "device=tpu"),
        ("train", "optimizer._target_=os.system"),
    ],
    ids=" ".join,
)
def test_mistakes_are_found_without_heavy_imports(argv: tuple[str, ...]) -> None:
    result = run(*argv)
    message, last = result.stderr.splitlines()
    assert result.returncode == 2
    assert message
    assert last == "imported:"
    assert result.stdout == ""
