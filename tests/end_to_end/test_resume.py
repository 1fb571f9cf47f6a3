"""What resume= accepts, and what it says."""

import json
import os
from pathlib import Path

import pytest
from fault_program import Program, run_differences
from hydra.core.override_parser.overrides_parser import OverridesParser

from pochitrain.cli.override import to_hydra
from pochitrain.text import quote_override

TARGETS = "allow_targets=[fault_part.*]"


@pytest.fixture(scope="module")
def half(program: Program) -> Path:
    """A run that was stopped after one of its two epochs."""
    ended = program.run(*program.tiny("half", "epochs=2"), SIGNAL_AT="SIGTERM:validation:1:6")
    assert ended.code == 143, ended.text
    return program.only_run("half")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("learning_rate=0.5", "learning_rate must be as in the run that is continued (0.001)"),
        ("optimizer=sgd", "optimizer._target_ must be as in the run"),
        ("epochs=1", "epochs must be >= 2 to continue this run, got 1"),
        ("transform=minimal", "transform.train must be as in the run"),
        ("ema_decay=0.9", "ema_decay must be as in the run"),
    ],
)
def test_refused(program: Program, half: Path, override: str, message: str) -> None:
    before = (half / "config.yaml").read_bytes()
    ended = program.run(f"resume={half}", TARGETS, override)
    assert ended.code == 2
    assert message in ended.text
    assert (half / "config.yaml").read_bytes() == before


def test_other_pictures_are_refused(program: Program, half: Path, tmp_path: Path) -> None:
    others = tmp_path / "others"
    for source in (program.dataset / "train").rglob("*.png"):
        target = others / source.parent.name / f"new-{source.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, target)
    ended = program.run(f"resume={half}", TARGETS, "data=folder", f"data.train_root={others}")
    assert ended.code == 2
    assert "data must hold the pictures that the run began with" in ended.text
    assert str(others) not in (half / "config.yaml").read_text()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("nowhere", "resume must be auto or a run directory"),
        (".", "resume must be auto or a run directory"),
    ],
)
def test_no_run(program: Program, value: str, message: str) -> None:
    ended = program.run(f"resume={value}")
    assert ended.code == 2
    assert message in ended.text


@pytest.mark.slow
def test_longer_and_damaged(program: Program) -> None:
    """More epochs, other loader settings, and a truncated newest checkpoint in between."""
    # none, because the T_max of a cosine stays what it was when the run began
    longer = program.run(*program.tiny("long", "epochs=4", "scheduler=none"))
    assert longer.code == 0, longer.text
    short = program.run(*program.tiny("short", "epochs=2", "scheduler=none"))
    assert short.code == 0, short.text
    run = program.only_run("short")
    done = program.run(f"resume={run}", TARGETS)
    assert done.code == 0
    assert "is finished: 2 of 2 epochs. To train longer" in done.text

    last = run / "models" / "last.pth"
    with open(last, "r+b") as file:
        file.truncate(1000)
    # Killed before its first checkpoint is in place: the one that it went back to is still there.
    killed = program.run(f"resume={run}", TARGETS, "epochs=4", SIGNAL_AT="SIGKILL:write:0:")
    assert killed.code == -9, killed.text
    assert "is damaged or truncated" in killed.text
    assert "Going back to last_1.pth, written after 1 epoch." in killed.text
    resumed = program.run(f"resume={run}", TARGETS, "epochs=4", "data.num_workers=1")
    assert resumed.code == 0, resumed.text
    assert run_differences(program.only_run("long"), run) == []
    environment = json.loads((run / "environment.json").read_text())
    assert len(environment["continued"]) == 2

    for path in (run / "models").glob("*.pth"):
        path.write_bytes(b"PK")
    lost = program.run(f"resume={run}", TARGETS, "epochs=5")
    assert lost.code == 2
    assert "resume must be a run with a readable checkpoint" in lost.text


@pytest.mark.parametrize(
    "path", ["outputs/1", "my runs/1", "実験/1", "a=1, b", "it's", "(x)", "~/x", "a\\'b", "end\\"]
)
def test_printed_paths_can_be_typed(path: str) -> None:
    word = to_hydra(f"resume={quote_override(path)}")
    assert OverridesParser.create().parse_override(word).value() == path


@pytest.mark.slow
def test_auto_starts_anew(program: Program) -> None:
    """Another config, or a finished run, or something else than a run, is not continued."""
    for name, text in (("other", "a: 1"), ("torn", "a: [")):
        folder = program.folder / "foreign" / name
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(text)
    ended = program.run(*program.tiny("foreign", "resume=auto", "epochs=1"))
    assert ended.code == 0, ended.text
    for expected, more in ((1, ["epochs=1"]), (2, ["epochs=1"]), (3, ["epochs=1", "seed=5"])):
        ended = program.run(*program.tiny("auto", "resume=auto", *more))
        assert ended.code == 0, ended.text
        assert "resume=auto: no unfinished run of this config; starting a new one." in ended.text
        assert len(list((program.folder / "auto").iterdir())) == expected
