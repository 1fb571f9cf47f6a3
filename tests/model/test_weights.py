"""Weights from a file: both formats, with and without a head, and what does not fit."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pochitrain.error import ConfigError
from pochitrain.model.backbone import build_timm
from pochitrain.model.classifier import build_classifier
from pochitrain.model.head import head_keys

BUILDERS = [(build_classifier, "squeezenet1_1"), (build_timm, "test_resnet")]


@pytest.mark.parametrize(("build", "name"), BUILDERS)
@pytest.mark.parametrize("kind", ["pth", "safetensors", "wrapped", "checkpoint"])
@pytest.mark.parametrize("head", ["whole", "missing", "other"])
def test_what_a_file_may_hold(tmp_path: Path, build, name: str, kind: str, head: str) -> None:  # type: ignore[no-untyped-def]
    source = build(name, 5 if head == "other" else 3)
    own = head_keys(source)
    state = {k: v for k, v in source.state_dict().items() if head != "missing" or k not in own}
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    if kind == "safetensors":
        save_file(state, path)
    else:
        wrapped = {"wrapped": {"state_dict": state}, "checkpoint": {"format": 1, "model": state}}
        torch.save(wrapped.get(kind, state), path)
    torch.manual_seed(0)
    model = build(name, 3, weights=str(path))
    for key, value in model.state_dict().items():
        same = key in state and torch.equal(value, source.state_dict()[key])
        assert same is (key not in own or head == "whole")
    torch.manual_seed(0)
    again = build(name, 3, weights=str(path))
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in model.state_dict().items())


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    for scale in (1.0, 2.0):
        state = build_timm("test_resnet", 3).state_dict()
        state["conv1.0.weight"] = torch.full_like(state["conv1.0.weight"], scale)
        torch.save(state, path)
        loaded = build_timm("test_resnet", 3, weights=str(path)).state_dict()
        assert loaded["conv1.0.weight"].unique().tolist() == [scale]


def test_each_tensor_that_does_not_fit_is_named_with_its_reason(tmp_path: Path) -> None:
    state = build_timm("test_resnet", 3).state_dict()
    state["extra"] = torch.ones(1)
    state["conv1.0.weight"] = torch.ones(2, 2)
    del state["bn1.weight"]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(ConfigError) as caught:
        build_timm("test_resnet", 3, weights=str(tmp_path / "w.pth"))
    text = str(caught.value)
    assert "with 3 tensor(s) that do not: bn1.weight (not in the file), " in text
    assert "conv1.0.weight ((2, 2), not (" in text
    assert "extra (not in the model)." in text


def test_a_broken_safetensors_file(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"not one")
    with pytest.raises(ConfigError, match=r"^model\.weights must be a file of safetensors, got "):
        build_timm("test_resnet", 3, weights=str(tmp_path / "w.safetensors"))
