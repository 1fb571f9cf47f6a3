"""Whole training runs through the command line, as a person starts them."""

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


def photos(tmp_path: Path, make_folder: Callable[..., Path]) -> list[str]:
    """Overrides for a small data set of real files."""
    root = make_folder(tmp_path / "photos", {"ant": 9, "bee": 6, "cat": 6})
    return [
        "data=folder",
        f"data.train_root={root}",
        "data.val_fraction=0.3",
        "transform.size=32",
        "model=torchvision",
        "model.name=shufflenet_v2_x0_5",
        "batch_size=8",
    ]


@pytest.mark.slow
def test_a_run_of_ones_own_pictures(tmp_path: Path, make_folder: Callable[..., Path]) -> None:
    words = ["epochs=2", "scheduler=steplr", "scheduler.step_size=1", "scheduler.gamma=0.5"]
    result = subprocess.run(  # as typed; the other tests run in this process, which is quicker
        [sys.executable, str(ROOT / "train.py"), *photos(tmp_path, make_folder), *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    (folder,) = tmp_path.glob("outputs/*")
    assert re.fullmatch(r"\d{8}_001", folder.name)
    assert "Traceback" not in result.stderr
    for text in ("14 training, 7 validation", "3: ant 6/3, bee 4/2, cat 4/2", "cpu, fp32",
                 "Best epoch", f"outputs/{folder.name}"):  # fmt: skip
        assert text in result.stdout, text
    with open(folder / "training_metrics.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [float(row["learning_rate"]) for row in rows] == [0.001, 0.0005]
    assert all(0 <= float(row["val_accuracy"]) <= 100 for row in rows)
    for name in ("loss.png", "accuracy.png"):
        assert (folder / "graphs" / name).read_bytes()[:4] == b"\x89PNG"
    assert {p.name for p in (folder / ".hydra").iterdir()} >= {
        "config.yaml", "hydra.yaml", "overrides.yaml",
    }  # fmt: skip
    facts = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    assert facts["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert "scheduler=steplr" in facts["command"]
    for name in ("best.pth", "last.pth"):
        saved = torch.load(folder / "models" / name, weights_only=True)
        assert saved["class_names"] == ["ant", "bee", "cat"]
        assert saved["config"]["transform"]["size"] == 32
        assert {"model", "optimizer", "scheduler", "scaler", "callbacks", "random", "epoch",
                "step", "transforms", "versions"} <= saved.keys()  # fmt: skip
    best = max(rows, key=lambda row: float(row["val_accuracy"]))
    assert torch.load(folder / "models/best.pth", weights_only=True)["epoch"] == int(best["epoch"])


@pytest.mark.slow
def test_same_command_same_bytes_whatever_the_number_of_processes(
    pochi: Callable, tmp_path: Path, make_folder: Callable[..., Path]
) -> None:
    words = [*photos(tmp_path, make_folder), "epochs=2"]
    tables = []
    for num_workers in (0, 0, 2):
        assert pochi(*words, f"data.num_workers={num_workers}").code == 0
        newest = max(tmp_path.glob("outputs/*"))
        tables.append((newest / "training_metrics.csv").read_bytes())
    assert tables[0] == tables[1] == tables[2]
    assert len(tables[0].splitlines()) == 3


@pytest.mark.slow
def test_a_callback_of_ones_own_adds_a_column(
    pochi: Callable,
    tmp_path: Path,
    make_folder: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "mycolumn.py").write_text(
        "from pochitrain.engine.callback import Callback\n\n"
        "class Column(Callback):\n"
        "    def on_epoch_end(self, state):\n"
        "        state.history[-1].extra['mine'] = 10.0 * state.epoch\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    words = [*photos(tmp_path, make_folder), "epochs=2", "+callbacks.x={_target_:mycolumn.Column}"]
    outcome = pochi(*words, "allow_targets=[mycolumn.*]")
    assert outcome.code == 0, outcome.err
    (table,) = tmp_path.glob("outputs/*/training_metrics.csv")
    with open(table, encoding="utf-8") as file:
        assert [row["mine"] for row in csv.DictReader(file)] == ["10.0", "20.0"]


@pytest.mark.slow
def test_multirun_gives_each_job_a_directory(
    pochi: Callable, tmp_path: Path, make_folder: Callable[..., Path]
) -> None:
    words = photos(tmp_path, make_folder)
    outcome = pochi("--multirun", "scheduler=steplr,cosineannealinglr", "epochs=1", *words)
    assert outcome.code == 0, outcome.err
    folders = sorted(path for path in tmp_path.glob("outputs/*") if path.is_dir())
    assert [path.name[-3:] for path in folders] == ["001", "002"]
    overrides = [(path / ".hydra" / "overrides.yaml").read_text() for path in folders]
    assert "scheduler=steplr" in overrides[0]
    assert "scheduler=cosineannealinglr" in overrides[1]
    assert all((path / "models" / "best.pth").exists() for path in folders)


@pytest.mark.slow
def test_nothing_to_validate_on(
    pochi: Callable, tmp_path: Path, make_folder: Callable[..., Path]
) -> None:
    words = [word for word in photos(tmp_path, make_folder) if "val_fraction" not in word]
    words += ["epochs=1", "metrics.export=false", "data.batch_size=7", "optimizer.lr=0.02"]
    words += ["gradient_tracking.enabled=true", "early_stopping.patience=2"]
    outcome = pochi(*words)
    assert outcome.code == 0, outcome.err
    assert "batches of 7, Adam at 0.02," in outcome.out
    assert "train loss" in outcome.out
    (folder,) = tmp_path.glob("outputs/*")
    assert (folder / "models" / "best.pth").exists()
    assert not list(folder.glob("*.csv"))
    assert not (folder / "graphs").exists()
    assert "gradient_tracking.enabled=true has no effect" in outcome.out
    assert "early_stopping.patience has no effect" in outcome.out


@pytest.mark.slow
def test_a_directory_of_the_persons_choice(
    pochi: Callable, tmp_path: Path, make_folder: Callable[..., Path]
) -> None:
    words = [*photos(tmp_path, make_folder), "epochs=1", "hydra.run.dir=mine"]
    assert pochi(*words).code == 0
    assert (tmp_path / "mine" / "models" / "last.pth").exists()
    assert not (tmp_path / "outputs").exists()
    again = pochi(*words)
    assert again.code == 2
    assert "must be new" in again.err


@pytest.mark.slow
def test_the_defaults_learn_the_digits(pochi: Callable, tmp_path: Path) -> None:
    assert pochi("epochs=2").code == 0
    (table,) = tmp_path.glob("outputs/*/training_metrics.csv")
    with open(table, encoding="utf-8") as file:
        *_, last = csv.DictReader(file)
    # After one epoch it is anything from 83 to 94 %, depending on the number of threads.
    assert float(last["val_accuracy"]) > 92


@pytest.mark.parametrize("command", [["python", "train.py"], ["pochi", "train"]], ids=" ".join)
def test_shell_completion(tmp_path: Path, command: list[str]) -> None:
    """What the completion script runs: the command with `-sc query=bash` and the line so far."""
    line = " ".join([*command, "scheduler=s"])
    if command[0] == "python":
        argv = [str(ROOT / "train.py"), "-sc", "query=bash"]
    else:
        argv = ["-c", "from pochitrain.cli.main import main; main()", "-sc", "query=bash"]
    result = subprocess.run(
        [sys.executable, *argv],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_CWORD": "2"},
    )
    assert result.returncode == 0, result.stderr
    assert "scheduler=steplr" in result.stdout
