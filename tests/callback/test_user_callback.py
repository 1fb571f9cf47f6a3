"""Callbacks that the config names: what they are given, and when mistakes are found."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from torch import nn

from pochitrain.callback.early_stopping import EarlyStopping
from pochitrain.callback.freeze import FreezeBackbone
from pochitrain.config.component import Components
from pochitrain.engine.callback import Callback
from pochitrain.error import ConfigError
from pochitrain.run.callback import build_user_callbacks

MODEL = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
BUILT = []


class Plain(Callback):
    def __init__(self, percent: float = 20.0) -> None:
        self.percent = percent
        BUILT.append("Plain")


class AsksForAll(Callback):
    def __init__(self, folder: Path, model: nn.Module, class_names: list[str], x: int = 1) -> None:
        self.got = (folder, model, class_names, x)
        BUILT.append("AsksForAll")


class NoCallback:
    def __init__(self, folder: Path) -> None:
        BUILT.append("NoCallback")


def build(**nodes: dict[str, Any]) -> list[Any]:
    parts = Components(OmegaConf.create({"callbacks": nodes}), allow=[f"{__name__}.*"])
    return build_user_callbacks(parts, MODEL, ["a", "b"])


def test_gets_what_its_signature_asks_for() -> None:
    BUILT.clear()
    first, second = build(
        one={"_target_": f"{__name__}.AsksForAll", "x": 3}, two={"_target_": f"{__name__}.Plain"}
    )
    assert BUILT == ["Plain"], "one that asks for the run directory waits for it"
    assert first(Path("run")).got == (Path("run"), MODEL, ["a", "b"], 3)
    assert second(Path("run")) is second(Path("run"))


def test_what_the_config_gives_counts_more() -> None:
    node = {"_target_": f"{__name__}.AsksForAll", "folder": "mine", "class_names": ["c"]}
    assert build(one=node)[0](Path("run")).got == ("mine", MODEL, ["c"], 1)


def test_shipped_ones_are_named_like_those_of_the_user() -> None:
    folder = Path("run")
    stop, freeze = build(
        stop={
            "_target_": "pochitrain.callback.early_stopping.EarlyStopping",
            "patience": 2,
            "min_delta": 0.1,
            "monitor": "val_loss",
        },
        freeze={"_target_": "pochitrain.callback.freeze.FreezeBackbone", "num_epochs": 1},
    )
    assert isinstance(stop(folder), EarlyStopping)
    assert len(freeze(folder).parameters) == 2
    assert isinstance(freeze(folder), FreezeBackbone)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"_target_": f"{__name__}.AsksForAll", "y": 3}, r"callbacks\.one cannot be built: .*'y'"),
        ({"_target_": f"{__name__}.Plain", "y": 3}, r"callbacks\.one cannot be built: .*'y'"),
        ({"_target_": f"{__name__}.NoCallback"}, r"callbacks\.one must be a subclass of .*, got"),
        (
            {"_target_": "torch.nn.Identity"},
            r"one\._target_ must be a callback of your own.*Identity'",
        ),
        ({"_target_": "os.system"}, r"one\._target_ must be a callback of your own.*'os\.system'"),
    ],
)
def test_mistakes_are_found_before_there_is_a_run_directory(node: Any, message: str) -> None:
    BUILT.clear()
    with pytest.raises(ConfigError, match=message):
        build(one=node)
    assert BUILT == []
