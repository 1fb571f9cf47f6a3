"""Any torchvision classifier with a head for our classes; local weights and what is wrong with
them."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models

from pochitrain.error import ConfigError
from pochitrain.model.classifier import build_classifier
from pochitrain.model.head import head_keys

FAMILIES = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "squeezenet1_0",
    "swin_t",
    "vgg11",
    "vit_b_16",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_gets_a_head_for_our_classes(name: str) -> None:
    # On "meta" there are shapes without work; RegNet computes its widths in tensors.
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        model = build_classifier(name, num_classes=7).eval()
    logits = model.to("meta")(torch.empty(2, 3, 224, 224, device="meta"))
    assert logits.shape == (2, 7)
    head = [value for key, value in model.state_dict().items() if key in head_keys(model)]
    assert head
    assert all(value.shape[0] == 7 for value in head)


def test_families_are_all_of_torchvisions() -> None:
    def family(name: str) -> str:
        return name.rstrip("0123456789").partition("_")[0].rstrip("0123456789")

    known = {family(name) for name in models.list_models(module=models)}
    assert {family(name) for name in FAMILIES} | {"wide", "resnet"} >= known


def test_the_rest_of_the_network_is_torchvisions() -> None:
    torch.manual_seed(0)
    ours = build_classifier("resnet18", 4)
    torch.manual_seed(0)
    theirs = models.resnet18()
    wanted = {k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")}
    assert all(torch.equal(ours.state_dict()[key], value) for key, value in wanted.items())


def test_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(
        ConfigError, match=r"got 'resnet81'\. Did you mean resnet18 or .* Choices: "
    ):
        build_classifier("resnet81", 2)


def test_local_weights_with_another_head(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    source = build_classifier("squeezenet1_1", 1000)
    torch.save(source.state_dict(), path)
    model = build_classifier("squeezenet1_1", 3, weights=str(path))
    head = head_keys(model)
    assert head == {"classifier.1.weight", "classifier.1.bias"}
    for key, value in source.state_dict().items():
        assert (model.state_dict()[key].shape == value.shape) is (key not in head)
        if key not in head:
            assert torch.equal(model.state_dict()[key], value)


def test_a_checkpoint_of_ours_is_a_start_too(tmp_path: Path) -> None:
    source = build_classifier("squeezenet1_1", 3)
    torch.save({"format": 1, "model": source.state_dict()}, tmp_path / "best.pth")
    model = build_classifier("squeezenet1_1", 3, weights=str(tmp_path / "best.pth"))
    for key, value in source.state_dict().items():
        assert torch.equal(model.state_dict()[key], value)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this must not run",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (Evil(), r"must be a state dict saved by torch\.save"),
        ({"a": 1}, "must hold tensors of this model"),
        (nn.Linear(2, 2).state_dict(), "must hold tensors of this model"),
    ],
)
def test_files_that_are_no_weights_of_this_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: object, message: str
) -> None:
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(ConfigError, match=rf"^model\.weights {message}"):
        build_classifier("squeezenet1_1", 3, weights=str(path))
    assert "must not run" not in capsys.readouterr().out


def test_weights_of_another_model_are_listed(tmp_path: Path) -> None:
    state = build_classifier("resnet18", 3).state_dict()
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match=r"^model\.weights must fit the model, .* tensor\(s\)"):
        build_classifier("resnet34", 3, weights=str(tmp_path / "weights.pth"))


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_auxiliary_classifiers_are_gone(name: str) -> None:
    """They would be parameters that never get a gradient."""
    names = [name for name, _ in build_classifier(name, 3).named_parameters()]
    assert not [name for name in names if "aux" in name.lower()]


def test_a_head_without_bias_stays_without() -> None:
    names = {name for name, _ in build_classifier("maxvit_t", 3).named_parameters()}
    assert "classifier.5.weight" in names
    assert "classifier.5.bias" not in names


def test_pretrained_weights_that_expect_another_normalisation_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = models.googlenet(weights=None, init_weights=False).state_dict()
    monkeypatch.setattr(models.GoogLeNet_Weights, "get_state_dict", lambda *_, **__: state)
    assert build_classifier("googlenet", 3, pretrained=True).transform_input is True
    assert build_classifier("googlenet", 3).transform_input is False


def test_a_file_of_ones_own_counts_more_than_pretrained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is downloaded for it."""
    saved = build_classifier("squeezenet1_1", 3)
    torch.save(saved.state_dict(), tmp_path / "mine.pth")
    monkeypatch.setattr("pochitrain.model.classifier.load_pretrained", None)  # not to be called
    path = str(tmp_path / "mine.pth")
    model = build_classifier("squeezenet1_1", 3, pretrained=True, weights=path)
    for name, value in model.state_dict().items():
        assert torch.equal(value, saved.state_dict()[name])
