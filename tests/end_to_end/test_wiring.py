"""Every option of the config reaches the part that it is for: one run with all of them at once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import pochitrain.run.train as run
from pochitrain.callback.tensorboard import TensorBoard
from pochitrain.engine.trainer import Trainer
from pochitrain.scheduler.warm_up import WarmUp

OPTIONS = [
    "model=torchvision",
    "model.name=shufflenet_v2_x0_5",
    "data=folder",
    "data.train_root=photos",
    "data.val_fraction=0.34",
    "data.balanced_sampling=true",
    "transform=mixup",
    "transform.size=32",
    "optimizer=adamw",
    "layer_wise_lr=decay",
    "layer_wise_lr.no_weight_decay_on_bias_and_norm=true",
    "layer_wise_lr.graph_config.use_log_scale=true",
    "early_stopping.enabled=true",
    "early_stopping.monitor=val_loss",
    "early_stopping.min_delta=0.0",
    "metrics.tensorboard=true",
    "warmup_epochs=1",
    "gradient_accumulation=2",
    "gradient_clip_norm=0.5",
    "cudnn_benchmark=true",
    "compile=true",
    "batch_size=4",
    "epochs=1",
    "seed=7",
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_option_reaches_its_part(
    pochi: Callable,
    tmp_path: Path,
    make_folder: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_folder(tmp_path / "photos", {"ant": 9, "bee": 6, "cat": 3}, side_px=40)
    trainers: list[Trainer] = []
    graphs: list[dict[str, Any]] = []
    compiled: list[torch.nn.Module] = []
    monkeypatch.setattr(Trainer, "fit", lambda trainer: trainers.append(trainer) or fit(trainer))
    monkeypatch.setattr(torch.nn.Module, "compile", lambda model: compiled.append(model))
    monkeypatch.setattr(
        "pochitrain.report.run.draw_run", lambda *_, **options: graphs.append(options) or []
    )
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    outcome = pochi(*OPTIONS)
    assert outcome.code == 0, outcome.err
    (trainer,) = trainers
    state = trainer.state

    assert (trainer.gradient_accumulation, trainer.gradient_clip_norm) == (2, 0.5)
    assert state.monitor.metric == "val_loss"
    assert isinstance(state.scheduler, WarmUp)
    assert compiled == [state.model]
    assert torch.backends.cudnn.benchmark
    assert {group["weight_decay"] for group in state.optimizer.param_groups} == {0.0, 0.01}
    assert any(isinstance(callback, TensorBoard) for callback in trainer.callbacks)
    assert graphs == [{"log_rates": True}]

    assert trainer.val_loader is not None
    train, val = trainer.train_loader, trainer.val_loader
    assert (train.batches.seed, train.batches.balanced, train.batches.shuffle) == (7, True, True)
    assert (val.batches.balanced, val.batches.shuffle) == (False, False)
    assert train.batch_transform is not None and val.batch_transform is None

    assert "class weights ant 0.667" in outcome.out
    assert "  best\n" in outcome.out
    (folder,) = tmp_path.glob("outputs/*")
    facts = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    assert (facts["seed"], facts["device"]) == (7, "cpu, fp32")


fit = Trainer.fit


@pytest.mark.slow
def test_no_graphs_without_export(
    pochi: Callable,
    tmp_path: Path,
    make_folder: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_folder(tmp_path / "photos", {"ant": 4, "bee": 4}, side_px=32)
    monkeypatch.setattr(run, "draw_graphs", lambda *_: pytest.fail("drawn"))
    words = [*OPTIONS[:5], "transform=minimal", "metrics.export=false", "epochs=1", "batch_size=4"]
    assert pochi(*words).code == 0
    assert not list(tmp_path.glob("outputs/*/*.csv"))
