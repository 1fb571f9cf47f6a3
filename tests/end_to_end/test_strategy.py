"""strategy=probe and probe_finetune as a user runs them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pochitrain.engine.checkpoint import load_checkpoint

Pochi = Callable[..., Any]
SMALL = ["model.pretrained=false", "transform=minimal", "metrics.export=true", "epochs=4"]


def train(pochi: Pochi, tmp_path: Path, name: str, *words: str) -> tuple[str, Path]:
    data = [f"data.train_root={tmp_path / 'photos'}", "data.val_fraction=0.25"]
    outcome = pochi("data=folder", *data, *SMALL, f"work_dir={name}", *words)
    assert outcome.code == 0, outcome.err
    (run,) = (tmp_path / name).iterdir()
    return outcome.out + outcome.err, run


@pytest.fixture
def photos(tmp_path: Path, make_folder: Callable[..., Path]) -> Path:
    return make_folder(tmp_path / "photos", {"a": 12, "b": 12, "c": 12})


def test_a_probe_trains_only_the_head_and_is_an_ordinary_run(
    photos: Path, tmp_path: Path, pochi: Pochi
) -> None:
    text, first = train(pochi, tmp_path, "one", "strategy=probe")
    assert "computed, kept for later runs" in text
    assert "chosen by cross-validation" in text
    saved = load_checkpoint(first / "models" / "last.pth")
    other = load_checkpoint(first / "models" / "best.pth")
    different = {k for k, v in saved["model"].items() if not torch.equal(v, other["model"][k])}
    assert different <= {"fc.weight", "fc.bias"}
    assert len(saved["optimizer"]["param_groups"][0]["params"]) == 2
    rate = saved["config"]["strategy"]["head_lr"]
    assert rate == saved["config"]["optimizer"]["lr"] == saved["history"][0]["learning_rate"]
    # The same features again, from the file; the same numbers; another batch size shares them.
    text, second = train(pochi, tmp_path, "two", "strategy=probe")
    assert "36 x 512, 36 from the cache" in text
    csv = "training_metrics.csv"
    assert (first / csv).read_bytes() == (second / csv).read_bytes()
    words = ["strategy=probe", f"strategy.head_lr={rate}", "batch_size=5", "data.cache=off"]
    text, _ = train(pochi, tmp_path, "three", *words)
    assert "computed, in memory" in text
    assert "cross-validation" not in text
    # Inference with the whole model gives what validation on features gave.
    outcome = pochi(str(first), "--data", str(photos), command="infer", prog="pochi infer")
    assert outcome.code == 0, outcome.err
    # It goes on where it ended.
    outcome = pochi(f"resume={first}", "epochs=5")
    assert outcome.code == 0, outcome.err
    assert load_checkpoint(first / "models" / "last.pth")["epoch"] == 5


def test_the_head_is_fitted_before_all_layers_are_trained(
    photos: Path, tmp_path: Path, pochi: Pochi
) -> None:
    words = ["strategy=probe_finetune", "learning_rate=0.00001", "epochs=1"]
    head = ["strategy.head_lr=0.01", "strategy.head_epochs=20"]
    text, run = train(pochi, tmp_path, "both", *words, *head)
    assert "Last layer fitted in 20 epochs" in text
    saved = load_checkpoint(run / "models" / "last.pth")
    assert saved["config"]["strategy"]["head_weight_decay"] == 0.01  # that of AdamW
    # At first a weight is at most 512 ** -0.5 = 0.044; the epoch moves it by 1e-5 a step.
    assert saved["model"]["fc.weight"].abs().max() > 0.06
    assert saved["model"]["bn1.running_mean"].eq(0).all()  # strategy.freeze_norm
    outcome = pochi(f"resume={run}", "epochs=2")
    assert outcome.code == 0, outcome.err
    assert "Last layer" not in outcome.out


@pytest.mark.parametrize("keeps", [True, False])
def test_statistics_of_batch_norm_are_kept_or_not(
    photos: Path, tmp_path: Path, pochi: Pochi, keeps: bool
) -> None:
    words = ["strategy=finetune", f"strategy.freeze_norm={keeps}", "epochs=1"]
    _, run = train(pochi, tmp_path, "run", *words)
    saved = load_checkpoint(run / "models" / "last.pth")["model"]
    assert bool(saved["bn1.running_mean"].eq(0).all()) is keeps  # random weights begin with 0


def test_a_model_without_a_linear_head_is_refused(
    photos: Path, tmp_path: Path, pochi: Pochi
) -> None:
    words = ["model=torchvision", "model.name=squeezenet1_1", "strategy=probe", *SMALL]
    outcome = pochi(*words)
    assert outcome.code == 2
    assert "model must end in one Linear" in outcome.err
    assert not (tmp_path / "outputs").exists()


def test_a_model_that_changes_the_scores_of_its_head_is_refused_before_the_run(
    tmp_path: Path, pochi: Pochi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pochitrain.model.head.is_same", lambda scores, output: False)
    for _ in range(2):  # also the next job of a sweep, in the same process
        outcome = pochi("strategy=probe", "model.pretrained=false")
        assert outcome.code == 2
        assert "whose scores are not those of its last layer, fc, alone" in outcome.err
    assert not (tmp_path / "outputs").exists()
