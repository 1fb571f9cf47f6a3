"""`tune=auto`: what is measured, chosen, recorded and left alone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from pochitrain.run import tune as module
from pochitrain.run.measure import Workbench, in_turns, median_ratio
from pochitrain.run.tune import Choice, is_free

SMALL = ("model=torchvision", "model.name=squeezenet1_1", "epochs=1", "batch_size=16")


@pytest.fixture
def photos(tmp_path: Path, make_folder: Callable[..., Path]) -> tuple[str, ...]:
    root = make_folder(tmp_path / "photos", {"a": 20, "b": 20})
    split = ("data.val_fraction=0.2", "transform.size=32", "metrics.export=true")
    return (*SMALL, "data=folder", f"data.train_root={root}", *split)


def only_run(tmp_path: Path) -> Path:
    (run,) = (tmp_path / "outputs").iterdir()
    return run


def test_chooses_records_and_trains_as_if_the_values_had_been_typed(
    pochi: Callable[..., Any],
    photos: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "EACH_S", 1.0)
    monkeypatch.setattr(module, "num_cores", lambda: 2)
    # what is chosen must not depend on how fast this machine is just now
    monkeypatch.setattr(Workbench, "compute", lambda self, count: 1e-3 * (1 + self.is_last()))
    monkeypatch.setattr(
        Workbench, "train", lambda self, count: 2e-3 / (1 + self.source.loader.loader.num_workers)
    )
    monkeypatch.setattr(
        Workbench,
        "is_last",
        lambda self: "channels_last" in str(self.source.loader.memory_format),
        raising=False,
    )
    outcome = pochi(*photos, "tune=auto")
    assert outcome.code == 0, outcome.err
    assert "channels_last=false (true " in outcome.out
    run = only_run(tmp_path)
    saved: Any = OmegaConf.load(run / "config.yaml")
    assert (saved.tune, saved.channels_last, saved.data.num_workers) == ("recorded", False, 1)
    environment = json.loads((run / "environment.json").read_text(encoding="utf-8"))
    assert environment["tune"]["data.num_workers"]["value"] == 1
    assert environment["tune"]["channels_last"]["images_per_s"]["false"] > 0
    first = (run / "training_metrics.csv").read_bytes()
    run.rename(tmp_path / "tuned")
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    typed = pochi(*photos, "channels_last=false", "data.num_workers=1")
    assert typed.code == 0, typed.err
    assert (only_run(tmp_path) / "training_metrics.csv").read_bytes() == first


def test_what_is_typed_stays(
    pochi: Callable[..., Any], photos: tuple[str, ...], tmp_path: Path
) -> None:
    outcome = pochi(*photos, "tune=auto", "channels_last=true", "data.num_workers=0")
    assert outcome.code == 0, outcome.err
    assert "tune=auto measures nothing: all is given" in outcome.out
    saved: Any = OmegaConf.load(only_run(tmp_path) / "config.yaml")
    assert (saved.tune, saved.channels_last, saved.data.num_workers) == ("recorded", True, 0)


def test_a_value_of_a_config_file_stays() -> None:
    cfg = OmegaConf.create({"channels_last": False, "data": {"num_workers": None}})
    assert [is_free(cfg, key) for key in module.DEFAULTS] == [False, True]
    assert not is_free(OmegaConf.create({"data": {}}), "data.num_workers")


def test_not_in_a_sweep(pochi: Callable[..., Any], tmp_path: Path) -> None:
    outcome = pochi(*SMALL, "--multirun", "seed=1,2", "tune=auto")
    assert outcome.code == 2
    assert outcome.err.count("tune must be off in a sweep") == 1
    assert not list(tmp_path.rglob("*.pth"))


def test_describe() -> None:
    assert Choice({True: 100.0, False: 2345.6}, True).describe() == (
        "true (true 100, false 2,346 images/s)"
    )
    assert Choice({}, 3).describe() == "3, not measured: a step takes too long"


def test_sides_take_turns() -> None:
    order: list[str] = []

    def side(name: str, result: float) -> Callable[[], float]:
        return lambda: order.append(name) or result  # type: ignore[func-returns-value]

    found = in_turns({"a": side("a", 1.0), "b": side("b", 4.0)}, rounds=3)
    assert order == ["a", "b"] * 3
    assert found == {"a": [1.0] * 3, "b": [4.0] * 3}
    assert median_ratio([1, 2, 30], [2, 2, 2]) == 1.0
