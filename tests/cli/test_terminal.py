"""Every command in terminals of all kinds, quietly, and in JSON for programs."""

import io
import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.core.hydra_config import HydraConfig
from PIL import Image
from rich.cells import cell_len

from pochitrain.cli.main import COMMANDS, main

CLASSES = ("ガラス", "猫", "a±×–b")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
STYLE = re.compile(r"\x1b\[[0-9;]*m")
SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
ROOT = Path(__file__).parents[2]


@dataclass
class Terminal:
    """What a command prints to."""

    encoding: str = "utf-8"
    is_terminal: bool = True
    environment: dict[str, str] = field(default_factory=dict)


TERMINALS = {
    "wide": Terminal(environment={"TERM": "xterm-256color", "COLUMNS": "130"}),
    "narrow": Terminal(environment={"TERM": "xterm-256color", "COLUMNS": "40"}),
    "dumb": Terminal(environment={"TERM": "dumb"}),
    "no color": Terminal(environment={"TERM": "xterm-256color", "NO_COLOR": "1"}),
    "ascii": Terminal("ascii", environment={"TERM": "xterm-256color"}),
    "file": Terminal(is_terminal=False),
    "cp932 file": Terminal("cp932", is_terminal=False),
}


class Stream(io.TextIOWrapper):
    """Standard output or error of a terminal."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__(io.BytesIO(), encoding=terminal.encoding, newline="", write_through=True)
        self.is_terminal = terminal.is_terminal

    def isatty(self) -> bool:
        return self.is_terminal

    def text(self) -> str:
        self.flush()
        written: Any = self.buffer
        return written.getvalue().decode(self.encoding)  # type: ignore[no-any-return]


@dataclass
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with pictures in `photos`, and two runs in `runs`."""
    folder = tmp_path_factory.mktemp("home")
    for level, name in enumerate(CLASSES):
        (folder / "photos" / name).mkdir(parents=True)
        for i in range(20):
            generator = np.random.default_rng([level, i])
            pixels = generator.integers(0, 60, (32, 32, 3)) + 90 * level
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "photos" / name / f"{i}.png")
    before = Path.cwd()
    os.chdir(folder)
    try:
        call(["train", "--multirun", *TRAIN, "seed=1,2", "hydra.sweep.dir=runs"], TERMINALS["file"])
    finally:
        os.chdir(before)
    (folder / "runs" / "multirun.yaml").unlink()
    yield folder


TRAIN = [
    "model=torchvision",
    "model.name=shufflenet_v2_x0_5",
    "data=folder",
    "data.train_root=photos",
    "data.val_fraction=0.5",
    "data.num_workers=0",
    "transform.size=32",
    "epochs=1",
    "metrics.export=false",
]
RUN = "RUN"
"""Stands for a trained run."""
LOADING = ["--num-workers", "0", "--device", "cpu"]
PICTURE = f"photos/{CLASSES[1]}/0.png"
WORDS: dict[str, list[str]] = {
    "train": ["train", *TRAIN],
    "infer": ["infer", RUN, "--data", "photos", *LOADING],
    "picture": ["infer", RUN, "--data", PICTURE, "--device", "cpu"],
    "compare": ["compare", "runs"],
    "explain": ["explain", RUN, PICTURE, "--device", "cpu"],
    "report": ["report", RUN, "runs", "--language", "ja", "--device", "cpu"],
    "calibrate": ["calibrate", RUN, "--data", "photos", *LOADING],
    "export": ["export", RUN, "--data", "photos", "--num-workers", "0"],
    "serve": ["serve", RUN, "--port", "0"],
    "lr": ["lr", "layer_wise_lr=resnet"],
    "data": ["data", "check", "photos", "--skip-labels"],
    "bench": ["bench", *TRAIN, "--seconds", "0.05"],
    "optimize": ["optimize", *TRAIN, "optuna.n_trials=1", "optuna.optuna_epochs=1"],
    "migrate": ["migrate", str(ROOT / "configs" / "pochi_train_config.py"), "-o", "x.yaml"],
    "help": ["--help"],
    "train help": ["train", "--help"],
    "mistake": ["train", "-m", "data=folder", "data.val_root=x", "data.train_root=猫", "seed=1,2"],
}


def call(argv: list[str], terminal: Terminal) -> Outcome:
    """`pochi ARGV` in a terminal."""
    out, err = Stream(terminal), Stream(terminal)
    code = 0
    with pytest.MonkeyPatch.context() as patched, warnings.catch_warnings():
        for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
            patched.delenv(name, raising=False)
        for name, value in terminal.environment.items():
            patched.setenv(name, value)
        patched.setattr(sys, "stdout", out)
        patched.setattr(sys, "stderr", err)
        # A service that ends at once.
        patched.setattr("pochitrain.serve.connection.build_server", lambda *_: Server())
        try:
            main(argv, prog="pochi")
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        finally:
            HydraConfig.instance().cfg = None
    return Outcome(code, out.text(), err.text())


class Server:
    def run(self, sockets: list[Any]) -> None:
        for listener in sockets:
            listener.close()


@pytest.fixture
def talk(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """talk(command, terminal, flag, ...): run a command of WORDS."""
    monkeypatch.chdir(home)

    def run(command: str, terminal: str, *flags: str) -> Outcome:
        (home / "x.yaml").unlink(missing_ok=True)
        newest = sorted(path for path in (home / "runs").iterdir() if path.is_dir())[0]
        words = [str(newest.relative_to(home)) if word == RUN else word for word in WORDS[command]]
        return call([*words, *flags], TERMINALS[terminal])

    return run


EVERYWHERE = ("train", "picture", "mistake")
"""Commands that are tried in all terminals: those with a bar, letters, and errors."""


def rows() -> Iterator[Any]:
    for command in sorted(WORDS.keys() - {"export"}):  # which is slow, and prints five lines
        names = TERMINALS if command in EVERYWHERE else ("narrow", "ascii")
        slow = [pytest.mark.long] if command in ("optimize", "bench") else []
        yield from (pytest.param(command, name, marks=slow) for name in names)


def test_every_command_is_here() -> None:
    tried = {words[0] for words in WORDS.values()}
    assert tried >= set(COMMANDS) - {"fit"}  # a training, after measurements that take a minute


@pytest.mark.parametrize(("command", "terminal"), list(rows()))
def test_in_a_terminal(command: str, terminal: str, talk: Callable[..., Outcome]) -> None:
    outcome = talk(command, terminal)
    assert outcome.code == (2 if command == "mistake" else 0), outcome.err
    both = outcome.out + outcome.err
    assert both.strip()
    assert "Traceback" not in both
    where = TERMINALS[terminal]
    if not where.is_terminal or terminal == "dumb":
        assert not CONTROL.search(both)
    if terminal == "no color":
        assert not STYLE.search(both)
    if terminal == "narrow":  # a line that is longer could not be replaced
        redrawn = [SEQUENCE.sub("", line) for line in re.findall(r"\x1b\[2K([^\n\r]*)", both)]
        bars = [line for line in redrawn if not line.startswith("epoch 1/1  train loss")]
        assert all(cell_len(line) <= 40 for line in bars), bars
    if command in ("train", "picture", "mistake", "data"):
        names = {"ascii": r"\u732b", "utf-8": "猫", "cp932": "猫"}
        assert names[where.encoding] in both
    if command in ("train", "picture", "data"):
        odd = {"ascii": "a+/-x-b", "utf-8": "a±×–b", "cp932": "a±×-b"}
        assert odd[where.encoding] in both


RESULTS = {
    "train": r"Best epoch 1 of 1: val accuracy .* %\nWritten to outputs/\S*\w\n",
    "infer": r"accuracy  .*\nbalanced  .*\n95 %      .*\nWritten to runs/\S*\w\n",
    "picture": r"((ガラス|猫|a±×–b) +\d+\.\d\d % .*\n){3}",
    "calibrate": r"model .*\ndata .*(\n.*)*\nWritten to runs/\S*\w\n",
    "explain": r"Written to runs/\S+/explain\w*\n",
    "report": r"Written: runs/\S+/report\.html\nWritten: runs/report\.html\n",
    "serve": r"page     http://127.0.0.1:\d+/\n",
    "data": r"(Nothing to report.\n|(\w+  .*\n(  .*\n)*)*)Written: .*\n",
    "bench": r"(.*images.*|batch.*|device.*|step.*|cache.*|bottleneck.*|to try.*| .*\n|\n)+",
    "optimize": r"Best of 1 completed trials:?\n(.*\n)+Results: \S+\n",
    "migrate": r"Written to x\.yaml\.\n",
}


@pytest.mark.parametrize("command", RESULTS)
def test_quiet_prints_the_result_alone(command: str, talk: Callable[..., Outcome]) -> None:
    outcome = talk(command, "file", "--quiet")
    assert outcome.code == 0
    assert re.fullmatch(RESULTS[command], outcome.out), outcome.out
    assert not outcome.err or command == "migrate"


def test_quiet_as_a_key_also_in_a_sweep(talk: Callable[..., Outcome]) -> None:
    words = ("quiet=true", "--multirun", "seed=1,2", "early_stopping.patience=3")
    outcome = talk("train", "file", *words)
    warning, best, written, *second = outcome.out.splitlines()
    assert warning.startswith("Warning: early_stopping.patience has no effect")
    assert best.startswith("Best epoch 1 of 1: ")
    assert written.startswith("Written to outputs/")
    assert len(second) == 3
    assert not outcome.err


def test_quiet_still_shows_mistakes(talk: Callable[..., Outcome]) -> None:
    outcome = talk("mistake", "file", "--quiet")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("data.train_root must be a folder of class folders")


DOCUMENTS = {
    "infer": {"accuracy", "predictions", "top", "files", "warnings"},
    "picture": {"model", "data", "images", "predictions", "top", "files", "warnings"},
    "compare": {"settings", "runs", "comparisons", "text", "notes"},
    "explain": {"model", "data", "explanations", "files", "warnings"},
    "report": {"files"},
    "calibrate": {"temperature", "before", "after", "files", "warnings"},
    "export": {"proven", "top1_agreement", "files", "warnings"},
    "lr": {"rules", "warnings"},
    "data": {"pictures", "classes", "problems", "counts", "findings", "notes", "files"},
    "bench": {"loader", "model", "end_to_end", "bottleneck", "suggestions", "warnings"},
}
"""Keys that docs/use.md promises."""


@pytest.mark.parametrize("command", DOCUMENTS)
def test_json_is_one_document_on_standard_output(
    command: str, talk: Callable[..., Outcome]
) -> None:
    outcome = talk(command, "ascii", "--json")
    assert outcome.code == 0, outcome.err
    content = json.loads(outcome.out)
    assert content.keys() >= DOCUMENTS[command]
    assert not CONTROL.search(outcome.out)
    if command == "picture":
        (only,) = content["predictions"]
        assert only["image_path"] == PICTURE
        assert next(entry["class"] for entry in content["top"]) == only["predicted_class"]
        assert {entry["class"] for entry in content["top"]} == set(CLASSES)
    if command == "infer":
        right = [row["correct"] for row in content["predictions"]]
        assert len(right) == 60
        assert 100 * sum(right) / 60 == pytest.approx(content["accuracy"])
        assert all(Path(file).is_file() for file in content["files"])
    if command in ("explain", "report"):
        assert len(content["files"]) == 2
        assert all(Path(file).is_file() for file in content["files"])
    if command == "explain":
        (only,) = content["explanations"]
        assert only["image_path"] == PICTURE
        assert only["explained_class"] == only["predicted_class"] in CLASSES
        assert 0 < only["confidence"] <= 1
    if command == "data":
        assert content["classes"]["猫"] == {"training": 20, "validation": 0}
        assert len(content["findings"]) == sum(content["counts"].values())


def test_json_leaves_errors_and_exit_codes_as_they_are(talk: Callable[..., Outcome]) -> None:
    outcome = talk("infer", "file", "--json", "--data", "nosuch")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("--data must be a folder, a picture or a table, got 'nosuch'")


def test_a_terminal_with_a_bar_says_when_the_run_will_end(
    talk: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pochitrain.callback.progress.REFRESH_S", 0.0)
    shown = talk("train", "wide", "epochs=8").out  # long enough for the bar to be drawn again
    assert re.search(r"epoch \d/8 .*left \(until \d\d:\d\d\)", shown)


def test_pochi_alone_prints_the_first_steps() -> None:
    outcome = call([], TERMINALS["file"])
    assert (outcome.code, outcome.out) == (2, "")
    assert 5 <= len(outcome.err.splitlines()) <= 15
    named = re.findall(r"^  pochi (\w+)", outcome.err, re.MULTILINE)
    assert len(named) == 3
    assert set(named) <= set(COMMANDS)


@pytest.mark.slow
def test_a_reader_that_goes_away_stops_a_sweep_without_a_traceback(
    home: Path,
) -> None:
    words = ["train", "-m", *TRAIN, "seed=1,2", "epochs=500", "work_dir=piped"]
    process = subprocess.Popen(
        [sys.executable, "-c", "from pochitrain.cli.main import main; main()", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=home,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert process.stdout and process.stderr
    for _ in range(12):
        process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=120) == 141, errors
    assert "Traceback" not in errors
    assert "Error" not in errors
