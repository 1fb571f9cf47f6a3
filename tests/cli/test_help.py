"""What `--help` shows, and a reader that goes away."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path


def test_groups_in_the_order_of_the_config_with_the_options_of_the_person(
    pochi: Callable, tmp_path: Path
) -> None:
    own = tmp_path / "conf" / "scheduler" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("defaults: [steplr]\n", encoding="utf-8")
    outcome = pochi("--config-dir=conf", "--help")
    assert outcome.code == 0
    table = outcome.out.partition("== Groups")[2].partition("== Flags")[0]
    groups = [line.split()[0] for line in table.splitlines()[1:] if line[:1].strip()]
    assert groups[:4] == ["model", "data", "transform", "optimizer"]
    assert groups[-1] == "experiment"
    assert not {"schema", "hydra", "legacy"} & set(groups)
    assert "linearlr, mine, multisteplr" in table
    assert max(map(len, table.splitlines())) <= 100


def test_a_reader_that_goes_away_gets_no_traceback() -> None:
    code = (
        "import sys; from pochitrain.cli.main import main\n"
        "sys.stdin.read()\n"  # until the pipe is closed at its other end
        "main(['--help'])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin and process.stdout and process.stderr
    process.stdout.close()
    process.stdin.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), errors) == (141, b"")
