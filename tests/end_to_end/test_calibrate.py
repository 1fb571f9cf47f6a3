"""`pochi calibrate`, and what a calibrated checkpoint does in every place that answers."""

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_factory import checkpoint_content
from PIL import Image

from pochitrain import Predictor
from pochitrain.inference.calibration import Calibration
from pochitrain.inference.classifier import load_classifier
from pochitrain.inference.source import open_source
from pochitrain.inference.stream import classify
from pochitrain.run.status import FILE, LOCK

Pochi = Callable[..., Any]
NAMES = ["ant", "bee"]


@pytest.fixture
def data(make_folder: Callable[..., Path], tmp_path: Path) -> Path:
    """Noise: dark ants, light bees. Four ants have been put among the bees by mistake."""
    folder = make_folder(tmp_path / "data", {"ant": 44, "bee": 40})
    for number in range(40, 44):
        (folder / "ant" / f"{number:03d}.png").rename(folder / "bee" / f"x{number}.png")
    return folder


@pytest.fixture
def run(make_run: Callable[..., Path], data: Path) -> Path:
    """A run whose random weights are turned so that dark is ant, and much too sure of it."""
    folder = make_run(NAMES)
    classifier = load_classifier(folder, "cpu")
    dataset = open_source(classifier, str(data)).dataset
    logits = classify(classifier, dataset, 8, 0).logits
    difference = logits[:, 1] - logits[:, 0]
    is_bee = torch.tensor(np.array(dataset.labels))
    dark, light = difference[is_bee == 0].mean(), difference[is_bee == 1].mean()
    content = checkpoint_content(NAMES)
    scale = 16 / (light - dark)
    for kind in ("weight", "bias"):
        content["model"][f"fc.{kind}"] *= scale
    content["model"]["fc.bias"][1] -= scale * (dark + light) / 2
    torch.save(content, folder / "models" / "best.pth")
    return folder


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "inference_results.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def infer(pochi: Pochi, model: Path, data: Path, output: Path, *flags: str) -> dict[str, Any]:
    words = (str(model), "--data", str(data), "--output", str(output), *flags)
    outcome = pochi(*words, command="infer", prog="pochi")
    assert outcome.code == 0, outcome.err
    content: dict[str, Any] = json.loads((output / "inference_summary.json").read_text())
    return content | {"out": outcome.out}


def test_the_checkpoint_is_calibrated_and_nothing_else_in_it_changes(
    pochi: Pochi, run: Path, data: Path, tmp_path: Path
) -> None:
    file = run / "models" / "best.pth"
    original = torch.load(file, weights_only=True)
    plain = infer(pochi, run, data, tmp_path / "before")
    before = rows_of(tmp_path / "before")

    outcome = pochi(str(run), "--data", str(data), command="calibrate", prog="pochi")

    assert outcome.code == 0, outcome.err
    content = torch.load(file, weights_only=True)
    known = content.pop("calibration")
    assert content.keys() == original.keys()
    assert all(
        torch.equal(content["model"][key], original["model"][key]) for key in content["model"]
    )
    report = json.loads((run / "calibration.json").read_text())
    assert report["temperature"] == known["temperature"] > 1.5
    assert report["images"] == 84
    errors = [report[when]["expected_calibration_error"] for when in ("before", "after")]
    assert errors[1] < errors[0]
    assert report["after"]["log_loss"] < report["before"]["log_loss"]
    assert f"{errors[0]:.4f} -> {errors[1]:.4f}" in outcome.out
    assert (run / "calibration.png").stat().st_size > 10_000
    assert {path.name for path in run.iterdir()} == {
        "models",
        "calibration.json",
        "calibration.png",
    }

    shutil.copy(file, tmp_path / "alone.pth")  # the calibration travels with the file
    summary = infer(pochi, tmp_path / "alone.pth", data, tmp_path / "after")
    after = rows_of(tmp_path / "after")
    assert [row["predicted"] for row in after] == [row["predicted"] for row in before]
    assert summary["accuracy"] == plain["accuracy"]
    assert float(after[0]["confidence"]) < float(before[0]["confidence"])
    assert "calibration" not in plain
    compared = summary["calibration"]
    old = plain["expected_calibration_error"]
    assert compared["before"]["expected_calibration_error"] == pytest.approx(old)
    new = summary["expected_calibration_error"]
    assert compared["after"]["expected_calibration_error"] == pytest.approx(new)
    answer = Predictor.load(tmp_path / "alone.pth", device="cpu").predict(after[0]["image_path"])
    assert answer.confidence == pytest.approx(float(after[0]["confidence"]), abs=1e-5)


def test_unknown_and_sets(pochi: Pochi, run: Path, data: Path, tmp_path: Path) -> None:
    assert pochi(str(run), "--data", str(data), command="calibrate", prog="pochi").code == 0
    flags = ("--max-error", "45%", "--coverage", "0.97")
    summary = infer(pochi, run, data, tmp_path / "out", *flags)
    rows = rows_of(tmp_path / "out")
    reject, sets = summary["reject"], summary["class_sets"]
    assert reject["max_error"] == 0.45
    assert reject["accepted"] == sum(row["accepted"] == "True" for row in rows)
    assert reject["accepted"] + reject["unknown"] == len(rows) == 84
    accepted = [row for row in rows if row["accepted"] == "True"]
    wrong = sum(row["correct"] == "False" for row in accepted) / len(accepted)
    assert reject["error_of_accepted"] == pytest.approx(wrong)
    possible = [json.loads(row["class_set"]) for row in rows]
    held = sum(row["true_class"] in inside for row, inside in zip(rows, possible, strict=True))
    assert sets["share_with_true_class"] == pytest.approx(held / 84)
    assert held / 84 >= 0.95
    assert all(
        inside[0] == row["predicted_class"] for row, inside in zip(rows, possible, strict=True)
    )
    assert "of the accepted are wrong (wanted: 45.00% at most)" in summary["out"]


def test_a_single_picture_is_unknown(
    pochi: Pochi, make_run: Callable[..., Path], tmp_path: Path
) -> None:
    known = Calibration(20.0, 100, ((0.0, 100, 30), (0.9, 80, 0)), ((0.5, 0.9), (0.9, 0.01)))
    run = make_run([], content=checkpoint_content(NAMES) | {"calibration": known.content()})
    Image.new("RGB", (9, 9), (9, 99, 9)).save(tmp_path / "a.png")
    words = (str(run), "--data", "a.png", "--max-error", "0.06", "--coverage", "90%")
    outcome = pochi(*words, command="infer", prog="pochi")
    assert outcome.code == 0, outcome.err
    assert (
        "unknown: a confidence below 90.00% is not accepted, for at most 6.00% mist" in outcome.out
    )
    (line,) = [line for line in outcome.out.splitlines() if line.startswith("possible")]
    assert line.startswith("possible at 90.0% coverage: ")
    assert {"ant", "bee"} == set(line.partition(": ")[2].split(", "))
    answer = Predictor.load(run, device="cpu", max_error=0.06, coverage=0.9).predict("a.png")
    assert not answer.accepted
    assert set(answer.class_set or []) == {"ant", "bee"}


MISTAKES = [
    ("infer", "--max-error 0", "must be a share above 0 and below 1, such as 5% or 0.05, got '0'"),
    ("infer", "--max-error 100%", "must be a share above 0 and below 1"),
    ("infer", "--coverage 90", "such as 5% or 0.05, got '90'"),
    ("infer", "--coverage nan%", "got 'nan%'"),
    ("infer", "--coverage 90%", "coverage needs a calibrated model"),
    ("infer", "--max-error 1%", "Type: pochi calibrate RUN"),
    ("serve", "--max-error 1%", "max-error needs a calibrated model"),
    ("calibrate", "--data data/ant", "--data must hold a folder of pictures for each class"),
    (
        "calibrate",
        "--data few",
        "The pictures must be 50 or more to calibrate a model, got 3 that can be",
    ),
    ("calibrate", "--data broken", "got 2 that can be read (broken)"),
    ("calibrate", "", "data.val_root of the run, 'no/val', is not there"),
]


@pytest.mark.parametrize(("command", "typed", "message"), MISTAKES)
def test_mistakes(
    pochi: Pochi,
    make_run: Callable[..., Path],
    data: Path,
    make_folder: Callable[..., Path],
    tmp_path: Path,
    command: str,
    typed: str,
    message: str,
) -> None:
    make_folder(tmp_path / "few", {"ant": 1, "bee": 2})
    make_folder(tmp_path / "broken", {"ant": 1, "bee": 1})
    for number in range(60):
        (tmp_path / "broken" / "ant" / f"x{number}.png").write_text("no picture")
    run = make_run(NAMES)
    outcome = pochi(str(run), *typed.split(), command=command, prog="pochi")
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert [path.name for path in run.iterdir()] == ["models"]


def test_an_exported_model_is_calibrated_before(pochi: Pochi, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    outcome = pochi("model.onnx", command="calibrate", prog="pochi")
    assert outcome.code == 2
    assert "Calibrate that, and export it again" in outcome.err


HOLD = """
import fcntl, os, sys
fcntl.lockf(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="record locks are of POSIX")
def test_a_run_that_is_being_trained_is_left_alone(
    pochi: Pochi, run: Path, data: Path, tmp_path: Path
) -> None:
    (run / FILE).write_text("{}")
    before = (run / "models" / "best.pth").read_bytes()
    words = [sys.executable, "-c", HOLD, str(run / LOCK)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        outcome = pochi(str(run), "--data", str(data), command="calibrate", prog="pochi")
        other.communicate(b"")
    assert outcome.code == 2
    assert "RUN must be a run that is not being trained" in outcome.err
    assert (run / "models" / "best.pth").read_bytes() == before


@pytest.mark.slow
def test_a_calibrated_run_goes_on_and_its_new_best_model_is_not_calibrated(
    pochi: Pochi, tmp_path: Path
) -> None:
    tiny = (
        "model=torchvision",
        "model.name=shufflenet_v2_x0_5",
        "data.image_size=32",
        "monitor=train_loss",  # falls, so the second epoch is the best one
        "metrics.export=false",
    )
    assert pochi(*tiny, "epochs=1").code == 0
    (run,) = (tmp_path / "outputs").iterdir()
    outcome = pochi(str(run), command="calibrate", prog="pochi")
    assert outcome.code == 0, outcome.err
    assert load_classifier(run).calibration is not None
    last = torch.load(run / "models" / "last.pth", weights_only=True)
    assert "calibration" not in last  # a link to the same file before
    outcome = pochi(f"resume={run}", "epochs=2")
    assert outcome.code == 0, outcome.err
    best = torch.load(run / "models" / "best.pth", weights_only=True)
    assert best["epoch"] == 2
    assert "calibration" not in best
