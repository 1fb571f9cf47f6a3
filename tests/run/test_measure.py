"""Blocks of a training, measured one after the other, must not help or disturb each other."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from pochitrain.config.registry import register_config
from pochitrain.data.digits import Digits
from pochitrain.engine.device import select_device, select_precision
from pochitrain.paths import config_directory
from pochitrain.run.build import build_parts
from pochitrain.run.measure import Workbench

LOAD_S = 0.02
BATCH = 8


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Workbench]:
    """Digits that take a while to load, in one loader process."""
    load, sleep = Digits.load, time.sleep

    def slowly(self: Digits, index: int) -> Any:
        sleep(LOAD_S)
        return load(self, index)

    monkeypatch.setattr(Digits, "load", slowly)
    register_config()
    with initialize_config_dir(str(config_directory())):
        cfg = compose(
            "config",
            [
                "data.num_workers=1",
                "data.image_size=8",
                f"batch_size={BATCH}",
                "device=cpu",
                "model=torchvision",
                "model.name=mobilenet_v3_small",
            ],
        )
    parts = build_parts(cfg, select_precision("fp32", select_device("cpu")))
    found = Workbench(cfg, parts, tmp_path)
    yield found
    found.close()


def test_what_was_loaded_meanwhile_does_not_count(
    work: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sleep is never too short, so this holds on a machine of any speed."""
    monkeypatch.setattr(work.trainer.gradients, "add", lambda batch: True)  # costs nothing
    time.sleep(4 * BATCH * LOAD_S)  # batches get ready
    assert work.train(3) >= 0.9 * 3 * BATCH * LOAD_S


def test_the_step_is_measured_once_the_loader_has_nothing_to_do(
    work: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[Any] = []
    monkeypatch.setattr(work.trainer.gradients, "add", lambda batch: True)
    monkeypatch.setattr("pochitrain.run.measure.bare_step", lambda *parts: order.append("step"))
    monkeypatch.setattr("pochitrain.run.measure.time.sleep", order.append)
    work.train(1)
    work.compute(2)
    work.compute(1)  # nothing was loaded since
    assert work.batch_s is not None and work.batch_s >= 0.9 * BATCH * LOAD_S
    assert order == [work.num_prefetched * work.batch_s, "step", "step", "step"]
