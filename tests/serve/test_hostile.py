"""The load script itself, small: it finds the service bounded, and its log quiet."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "hostile_serve.py"


@pytest.mark.slow
def test_more_connections_than_descriptors_and_large_pictures() -> None:
    loads = ["--loads", "half_sent", "large_pictures"]
    words = [sys.executable, str(SCRIPT), "--seconds", "1", "--files", "700", *loads]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240, check=True)
    assert "'413': 12" in done.stdout
    assert "0 tracebacks" in done.stdout
    (rest,) = [line for line in done.stdout.splitlines() if line.startswith("at rest")]
    (total,) = [line for line in done.stdout.splitlines() if line.startswith("in all")]
    assert float(total.split()[2]) < float(rest.split()[2]) + 500
    assert float(total.split()[5]) < 10  # 1 s where nothing else runs; answered at all here
