"""config.yaml has the rates that were chosen before the first epoch."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from pochitrain.run import strategy


@pytest.mark.parametrize(
    ("head_lr", "lr", "is_saved"),
    [(None, None, False), (0.003, None, False), (0.003, 0.003, True)],
)
def test_a_choice_is_noticed(
    head_lr: float | None,
    lr: float | None,
    is_saved: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also one that equals what the config has for the last layer."""

    def choose(cfg: DictConfig, *_: Any) -> None:
        cfg.optimizer.lr = cfg.strategy.head_lr = 0.003

    monkeypatch.setattr(strategy, "prepare_parts", choose)
    monkeypatch.setattr(strategy, "report_end", lambda *_: nullcontext())
    monkeypatch.setattr(strategy, "stop_on_signal", lambda *_: nullcontext())
    text = "{strategy: {name: probe, head_lr: null, head_weight_decay: 0}, optimizer: {lr: null}}"
    cfg: Any = OmegaConf.create(text)
    cfg.strategy.head_lr, cfg.optimizer.lr = head_lr, lr
    parts: Any = SimpleNamespace(backbone=object(), state=None)
    nothing: Any = None
    assert (
        strategy.apply_strategy(cfg, parts, tmp_path, nothing, nothing, is_resumed=False)
        is is_saved
    )
    saved = OmegaConf.load(tmp_path / "config.yaml")
    assert (saved == cfg) is is_saved
