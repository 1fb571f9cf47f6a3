"""`pochi export`: the file answers alike, or is not written."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
import onnxruntime
import torch
from checkpoint_factory import SIDE_PX, checkpoint_content

from pochitrain import Predictor
from pochitrain.inference.calibration import Calibration
from pochitrain.inference.classifier import load_classifier
from pochitrain.inference.source import open_source
from pochitrain.inference.stream import classify
from pochitrain.run import export as export_module

pytestmark = pytest.mark.slow
Pochi = Callable[..., Any]


@pytest.fixture
def data(make_folder: Callable[..., Path], tmp_path: Path) -> Path:
    return make_folder(tmp_path / "data", {"ant": 5, "bee": 6})


@pytest.mark.parametrize("dynamic", [True, False])
def test_the_file_answers_as_the_checkpoint_does(
    pochi: Pochi, make_run: Callable[..., Path], data: Path, tmp_path: Path, dynamic: bool
) -> None:
    run = make_run(["ant", "bee", "猫"], name="mobilenet_v3_small")
    flags = ["--dynamic-batch"] if dynamic else ["--opset", "18"]

    outcome = pochi(str(run), "--data", str(data), *flags, command="export", prog="pochi")

    assert outcome.code == 0, outcome.err
    proof = json.loads((run / "parity.json").read_text())
    assert proof["proven"]
    assert proof["images"] == 11
    assert proof["top1_agreement"] == 100
    assert proof["max_abs_logit_difference"] < 1e-3
    session = onnxruntime.InferenceSession(run / "model.onnx")
    shape = session.get_inputs()[0].shape
    assert shape[1:] == [3, SIDE_PX, SIDE_PX]
    assert isinstance(shape[0], str) if dynamic else shape[0] == 1
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["class_names"]) == ["ant", "bee", "猫"]
    assert json.loads(metadata["input"])["mean"] == [0.485, 0.456, 0.406]
    if not dynamic:
        assert proof["opset"] == 18

    for source, folder in ((run / "model.onnx", "a"), (run, "b")):
        words = (str(source), "--data", str(data), "--output", str(tmp_path / folder))
        assert pochi(*words, command="infer", prog="pochi").code == 0
    a, b = (
        json.loads((tmp_path / folder / "inference_summary.json").read_text()) for folder in "ab"
    )
    assert a["accuracy"] == b["accuracy"]
    assert (a["backend"], b["backend"]) == ("onnxruntime", "pytorch")
    pixels = np.full((9, 7, 3), 200, dtype=np.uint8)
    ours, theirs = (Predictor.load(path).predict(pixels) for path in (run, run / "model.onnx"))
    assert theirs.confidence == pytest.approx(ours.confidence, abs=1e-4)


def test_any_program_gets_the_calibrated_confidence(
    pochi: Pochi, make_run: Callable[..., Path], data: Path, tmp_path: Path
) -> None:
    """Softmax of the output is the confidence; the metadata knows what the checkpoint does."""
    known = Calibration(0.25, 100, ((0.0, 100, 30), (0.6, 80, 0)), ((0.5, 0.5), (0.9, 0.1)))
    content = checkpoint_content(["ant", "bee", "猫"]) | {"calibration": known.content()}
    run = make_run([], content=content)
    outcome = pochi(str(run), "--data", str(data), command="export", prog="pochi")
    assert outcome.code == 0, outcome.err
    proof = json.loads((run / "parity.json").read_text())
    assert proof["proven"]
    assert proof["max_abs_confidence_difference"] < 1e-3

    alone = shutil.move(run / "model.onnx", tmp_path / "alone.onnx")
    session = onnxruntime.InferenceSession(alone)
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["calibration"]) == known.content()
    assert "calibrated" in json.loads(metadata["output"])["meaning"]
    wishes = {"max_error": 0.06, "coverage": 0.9}
    ours, theirs = (Predictor.load(path, **wishes) for path in (run, alone))
    assert theirs.classifier.calibration == known
    pixels = np.full((9, 7, 3), 200, dtype=np.uint8)
    logits = session.run(None, {"images": theirs.prepare(pixels)[None].numpy()})[0][0]
    chances = np.exp(logits - logits.max())
    a, b = ours.predict(pixels), theirs.predict(pixels)
    assert b.confidence == pytest.approx(a.confidence, abs=1e-4)
    assert b.confidence == pytest.approx(float((chances / chances.sum()).max()), abs=1e-6)
    assert (a.accepted, a.class_set) == (b.accepted, b.class_set)
    plain = predict_without_calibration(run, pixels)
    powers = [chance ** (1 / known.temperature) for chance in plain]
    assert a.confidence == pytest.approx(max(powers) / sum(powers))


def predict_without_calibration(run: Path, pixels: np.ndarray) -> list[float]:
    """The probabilities of the same weights, after taking the calibration out of the file."""
    file = run / "models" / "best.pth"
    content = torch.load(file, weights_only=True)
    del content["calibration"]
    torch.save(content, file)
    return list(Predictor.load(run).predict(pixels).probabilities.values())


def balance(file: Path, data: Path) -> None:
    """Make random weights answer each class for about half of the images."""
    classifier = load_classifier(file, "cpu")
    logits = classify(classifier, open_source(classifier, str(data)).dataset, 4, 0).logits
    content = torch.load(file, weights_only=True)
    content["model"]["fc.bias"][0] -= (logits[:, 0] - logits[:, 1]).median()
    torch.save(content, file)


def test_a_broken_normalisation_is_noticed(
    pochi: Pochi,
    make_run: Callable[..., Path],
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = make_run(["ant", "bee"], name="resnet18")
    balance(run / "models" / "best.pth", data)
    true_description = export_module.describe_model

    def broken(*arguments: Any) -> dict[str, str]:
        described = true_description(*arguments)
        facts = json.loads(described["pochitrain"])
        facts["transforms"]["val"][-1]["mean"] = [3.0, 3.0, 3.0]
        return described | {"pochitrain": json.dumps(facts)}

    monkeypatch.setattr(export_module, "describe_model", broken)
    (run / "model.onnx").write_text("an earlier export")
    outcome = pochi(str(run), "--data", str(data), command="export", prog="pochi")
    assert outcome.code == 1
    assert "does not predict as the original does" in outcome.err
    assert not (run / "model.onnx").exists()
    assert "earlier export was renamed to model.previous.onnx." in outcome.err
    assert (run / "model.previous.onnx").read_text() == "an earlier export"
    assert not list(run.glob(".*"))
    assert json.loads((run / "parity.json").read_text())["proven"] is False


def test_what_is_no_model_of_ours(pochi: Pochi, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"nonsense")
    outcome = pochi(str(tmp_path / "a.onnx"), command="infer", prog="pochi")
    assert outcome.code == 2
    assert "cannot be read as an ONNX model" in outcome.err


@pytest.mark.parametrize("output", ["folder.onnx", "/proc/model.onnx", "file/model.onnx"])
def test_a_place_that_cannot_be_written_to_is_refused_first(
    pochi: Pochi,
    make_run: Callable[..., Path],
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    output: str,
) -> None:
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setattr(export_module, "write_onnx", None)
    words = (str(make_run(["ant", "bee"])), "--data", str(data), "--output", output)
    outcome = pochi(*words, command="export", prog="pochi")
    assert outcome.code == 2
    assert "--output must be a file in a folder that can be written to" in outcome.err
