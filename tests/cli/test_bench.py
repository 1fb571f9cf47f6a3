"""`pochi bench`: what it prints, refuses and leaves behind."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from pochitrain.engine.device import Precision
from pochitrain.run.bench import BenchResult, explain, suggest

SMALL = ("model=torchvision", "model.name=squeezenet1_1", "--seconds", "0.1")


def bench(pochi: Callable[..., Any], *argv: str) -> Any:
    return pochi(*SMALL, *argv, command="bench", prog="pochi")


def test_digits(pochi: Callable[..., Any], tmp_path: Path) -> None:
    outcome = bench(pochi, "--json", "batch_size=8")
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    assert found["images_per_batch"] == 8
    assert found["side_px"] == [32, 32]
    assert found["bottleneck"] in ("model", "loader")
    assert min(found[name] for name in ("loader", "model", "end_to_end", "ratio", "rounds")) > 0
    assert "in memory" in found["cache"]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_keeps_no_decoded_pictures(
    pochi: Callable[..., Any], tmp_path: Path, make_folder: Callable[..., Path]
) -> None:
    root = make_folder(tmp_path / "photos", {"a": 9, "b": 9})
    data = ("data=folder", f"data.train_root={root}", "transform.size=32", "batch_size=8")
    outcome = bench(pochi, *data)
    assert outcome.code == 0, outcome.err
    lines = dict(line.split(maxsplit=1) for line in outcome.out.splitlines() if line[0] != " ")
    assert lines["cache"].startswith("empty: measured as the first epoch")
    assert lines["batch"] == "8 pictures of 32 x 32 px"
    assert {"loader", "model", "bottleneck"} <= lines.keys()
    cache = Path(os.environ["XDG_CACHE_HOME"]) / "pochitrain"
    assert not list(cache.glob("decoded-*"))
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_the_cache_of_a_training_is_read(
    pochi: Callable[..., Any], tmp_path: Path, make_folder: Callable[..., Path]
) -> None:
    root = make_folder(tmp_path / "photos", {"a": 9, "b": 9})
    data = ("data=folder", f"data.train_root={root}", "transform.size=32", "batch_size=8")
    assert pochi(*SMALL[:2], *data, "epochs=1").code == 0
    cache = Path(os.environ["XDG_CACHE_HOME"]) / "pochitrain"
    before = {path: path.stat().st_size for path in cache.glob("decoded-*")}
    found = json.loads(bench(pochi, *data, "--json").out)
    assert "18 of 18 pictures there" in found["cache"]
    assert {path: path.stat().st_size for path in cache.glob("decoded-*")} == before


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--seconds", "-1"), "Argument --seconds: must be a number > 0, got '-1'."),
        (("--seconds", "nan"), "Argument --seconds: must be a number > 0, got 'nan'."),
        (("--multirun",), "pochi bench measures one run, got --multirun. Leave it out."),
        (("resume=auto",), "pochi bench measures a new run, got resume=auto."),
        (("strategy=probe",), "strategy.name must be a strategy that trains all layers, got"),
        (("epochs=0",), "epochs must be an integer >= 1, got 0."),
        (("nosuch=1",), "nosuch is not a key of the config."),
        (("data=folder", "data.train_root=nowhere"), "data.train_root must be"),
    ],
)
def test_mistakes(pochi: Callable[..., Any], argv: tuple[str, ...], message: str) -> None:
    outcome = bench(pochi, *argv)
    assert outcome.code == 2
    assert outcome.err.startswith(message)
    assert outcome.out == ""


def result(**values: Any) -> BenchResult:
    usual: dict[str, Any] = {
        "loader": 50.0,
        "model": 100.0,
        "end_to_end": 40.0,
        "ratio": 0.4,
        "rounds": 3,
        "images_per_batch": 8,
        "side_px": [224, 224],
        "device": "cpu",
        "precision": "fp32",
        "threads": 1,
        "num_workers": 0,
        "cache": "off",
        "step": "",
        "bottleneck": "loader",
    }
    return BenchResult(**{**usual, **values})


CONFIG = {
    "channels_last": False,
    "compile": False,
    "optimizer": {"fused": False},
    "data": {"cache": "off", "cache_px": None},
    "transform": {
        "size": 224,
        "train": [{"_target_": "torchvision.transforms.v2.RandomResizedCrop", "size": 224}],
    },
}


def test_what_would_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pochitrain.run.bench.num_cores", lambda: 8)
    cfg = OmegaConf.create(CONFIG)
    precision = Precision(torch.device("cpu"), None, torch.amp.GradScaler("cpu", enabled=False))
    loader = ["data.cache=auto", "data.num_workers=1", "data.cache_px=256", "transform.size=112"]
    assert suggest(cfg, precision, result()) == loader
    step = ["channels_last=true", "optimizer.fused=null", "OMP_NUM_THREADS=8", "transform.size=112"]
    assert suggest(cfg, precision, result(bottleneck="model")) == step
    more = suggest(cfg, precision, result(num_workers=4, cache="0.1 GB (9 of 9 pictures there)"))
    assert more == ["data.num_workers=8", "data.cache_px=256", "transform.size=112"]
    assert suggest(cfg, precision, result(num_workers=8)) == [loader[0], *loader[2:]]


def test_the_bottleneck_is_named() -> None:
    assert explain(result(bottleneck="model", ratio=0.99)).startswith("the model")
    assert "slower than the step: loading costs 60 %" in explain(result())
    assert "takes turns with the step" in explain(result(loader=400.0))
    assert "measure again" in explain(result(cache="empty: measured as the first epoch"))
