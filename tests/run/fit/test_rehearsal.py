"""The first seconds of a feature pass tell its speed."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from torchvision.models import resnet18

from pochitrain.config.component import Components
from pochitrain.data.dataset import require_splits
from pochitrain.engine.device import select_precision
from pochitrain.paths import config_directory
from pochitrain.run.fit import rehearsal
from pochitrain.run.fit.rehearsal import rehearse


def test_a_rehearsal_computes_some_of_the_features(
    make_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder(tmp_path / "data", {"dark": 60, "bright": 60})
    file = tmp_path / "weights.pth"
    torch.save(resnet18().state_dict(), file)
    words = [
        "strategy=probe",
        "model=resnet18",
        f"model.weights={file}",
        "transform.size=32",
        "data=folder",
    ]
    words += [f"data.train_root={root}", "data.val_fraction=0.2", "data.cache=off"]
    with initialize_config_dir(str(config_directory())):
        cfg = compose("config", words)
    precision = select_precision("fp32", torch.device("cpu"))
    data = require_splits(Components(cfg).build_data())
    clock = itertools.count(0.0, 1.0)
    monkeypatch.setattr(rehearsal.time, "perf_counter", lambda: next(clock))
    # Batches of 32, and one second between them: the third one is too late.
    monkeypatch.setattr(rehearsal, "REHEARSED_S", 2.0)
    assert rehearse(cfg, data, precision) == 2 / 64
    # All 120 pictures: the last batch has 24.
    monkeypatch.setattr(rehearsal, "REHEARSED_S", 100.0)
    assert rehearse(cfg, data, precision) == 3 / 96
