"""Heatmaps: against the formula, where the reason is known, and of networks of each kind."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torchvision import models
from torchvision.transforms import ToTensor

from pochitrain import Predictor
from pochitrain.engine.device import select_precision
from pochitrain.error import ConfigError, DataError
from pochitrain.inference.classifier import Classifier
from pochitrain.inference.explain import Explainer, attribute
from pochitrain.inference.feature_map import find_feature_map, token_grid
from pochitrain.inference.network import OnnxNetwork, TorchNetwork
from pochitrain.transform.pipeline import build_pipeline

CPU = torch.device("cpu")
SIDE = 32


class SmallNet(nn.Module):
    """An 8 x 8 map, averaged, and one linear layer."""

    def __init__(self, num_classes: int = 4) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.fc = nn.Linear(32, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.body(images).mean(dim=(2, 3)))


def wrap(model: nn.Module, num_classes: int = 4) -> Classifier:
    network = TorchNetwork(model.eval(), select_precision("fp32", CPU), torch.contiguous_format)
    names = [f"class {i}" for i in range(num_classes)]
    return Classifier(network, names, build_pipeline([ToTensor()]), {"data": {}}, Path("m"), [], [])


def planted(num: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Noise with a patch of 8 px in one of four corners; its pattern, and not its place, decides
    the class. Returns pictures, classes and corners (0 to 3, row by row)."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(60, 196, (num, SIDE, SIDE, 3), dtype=np.uint8)
    labels, corners = generator.integers(0, 4, num), generator.integers(0, 4, num)
    stripes = np.arange(8) // 2 % 2
    patterns = np.stack([
        np.repeat(stripes[:, None], 8, 1),
        np.repeat(stripes[None], 8, 0),
        stripes[:, None] ^ stripes[None],
        np.zeros((8, 8), int),
    ])  # fmt: skip
    for i, (label, corner) in enumerate(zip(labels, corners, strict=True)):
        top, left = generator.integers(1, 8, 2) + 16 * np.array([corner // 2, corner % 2])
        pixels[i, top : top + 8, left : left + 8] = 255 * patterns[label][..., None]
    return pixels, labels, corners


def train(model: nn.Module, epochs: int, rate: float) -> nn.Module:
    pixels, labels, _ = planted(512, 0)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    targets = torch.from_numpy(labels)
    optimizer = torch.optim.AdamW(model.parameters(), rate)
    for _ in range(epochs):
        for part in torch.randperm(512).split(64):
            optimizer.zero_grad()
            F.cross_entropy(model(images[part]), targets[part]).backward()
            optimizer.step()
    return model


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    torch.manual_seed(0)
    return train(SmallNet(), 25, 5e-3)


def check_reasons(model: nn.Module, num: int) -> None:
    """The network is right, and looks where the patch is, in 90 % of the pictures."""
    predictor = Predictor(wrap(model))
    pixels, labels, corners = planted(num, 1)
    right = hits = 0
    for picture, label, corner in zip(pixels, labels, corners, strict=True):
        right += predictor.predict(picture).class_index == label
        heatmap = predictor.explain(picture)
        assert heatmap.shape == (SIDE, SIDE) and heatmap.dtype == np.float32
        assert heatmap.min() >= 0 and heatmap.max() == 1
        row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
        hits += 2 * (row >= 16) + (column >= 16) == corner
    assert right >= 0.9 * num
    assert hits >= 0.9 * num


def test_the_reason_is_where_it_was_put(trained: SmallNet) -> None:
    check_reasons(trained, 100)


class Patches(nn.Module):
    """64 tokens that do not look at each other, averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 4, stride=4)
        self.mlp = nn.Sequential(nn.Linear(16, 32), nn.ReLU())
        self.fc = nn.Linear(32, 4)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.embed(images).flatten(2).transpose(1, 2)
        return self.fc(self.mlp(tokens).mean(dim=1))


def test_tokens_get_what_they_add_to_the_score() -> None:
    """More than they would add if they were grey."""
    torch.manual_seed(0)
    model, image = Patches().eval(), torch.rand(1, 3, SIDE, SIDE)
    found = find_feature_map(model, image)
    assert (found.name, found.is_start) == ("embed", True)
    plain = torch.full_like(image, 0.5)
    values = attribute(model, found, image.clone().requires_grad_(), plain, 2)
    with torch.no_grad():
        here, there = (
            model.mlp(model.embed(each).flatten(2).transpose(1, 2)) @ model.fc.weight[2] / 64
            for each in (image, plain)
        )
    expected = (here - there).reshape(1, 8, 8)
    torch.testing.assert_close(found.to_grid(values.detach()), expected, atol=2e-4, rtol=0.02)


def test_each_of_two_reasons_belongs_to_its_class(trained: SmallNet) -> None:
    """Horizontal stripes top left, vertical ones bottom right."""
    predictor = Predictor(wrap(trained))
    pixels = np.random.default_rng(2).integers(60, 196, (SIDE, SIDE, 3), dtype=np.uint8)
    stripes = 255 * (np.arange(8) // 2 % 2)
    pixels[4:12, 4:12] = stripes[:, None, None]
    pixels[20:28, 20:28] = stripes[None, :, None]
    for name, is_first in (("class 0", True), ("class 1", False)):
        heatmap = predictor.explain(pixels, name)
        top, bottom = heatmap[:16, :16].sum(), heatmap[16:, 16:].sum()
        assert (top > 2 * bottom) if is_first else (bottom > 2 * top), name


def test_it_is_the_class_activation_map_where_that_is_known() -> None:
    """Averaging and one linear layer: the score is the mean of sum_k w_k A_k(x, y)."""
    torch.manual_seed(1)
    model = SmallNet()
    explainer = Explainer(wrap(model))
    image = torch.rand(3, SIDE, SIDE)
    for class_index in range(4):
        found, layer = explainer.attribute(image, image / 2, class_index)
        assert layer == "body"
        with torch.no_grad():
            cells = torch.einsum(
                "k,khw->hw", model.fc.weight[class_index], model.body(image[None])[0]
            )
        cells = F.interpolate(cells.clamp(min=0)[None, None], (SIDE, SIDE), mode="bilinear")[0, 0]
        largest = cells.max() if cells.max() > 0 else 1
        np.testing.assert_allclose(found, (cells / largest).numpy(), atol=1e-5)


def test_the_network_is_left_as_it_was(trained: SmallNet) -> None:
    """Threads that explain and predict at once get what each gets alone."""
    classifier = wrap(trained)
    predictor = Predictor(classifier)
    pixels, _, _ = planted(12, 3)
    alone = [predictor.explain(picture) for picture in pixels], predictor.predict(list(pixels))
    before = [parameter.requires_grad for parameter in trained.parameters()]
    with ThreadPoolExecutor(4) as pool:
        maps = pool.map(predictor.explain, pixels)
        answers = pool.map(predictor.predict, pixels)
        for one, other in zip(maps, alone[0], strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)
        for answer, expected in zip(answers, alone[1], strict=True):
            assert answer.confidence == pytest.approx(expected.confidence, abs=1e-5)
    assert [parameter.requires_grad for parameter in trained.parameters()] == before
    assert not any(part._forward_hooks for part in trained.modules())


VIT = {"img_size": 64, "patch_size": 8, "depth": 2, "embed_dim": 32, "num_heads": 2}
NETWORKS: list[tuple[Callable[[], nn.Module], int, str, str, tuple[int, int]]] = [
    (lambda: models.resnet18(num_classes=3), 224, "layer4", "channels_first", (7, 7)),
    (lambda: models.resnet18(num_classes=3), 64, "layer2", "channels_first", (8, 8)),
    (lambda: models.resnet18(num_classes=3), 8, "relu", "channels_first", (4, 4)),
    (lambda: models.shufflenet_v2_x0_5(num_classes=3), 64, "stage2", "channels_first", (8, 8)),
    (
        lambda: timm.create_model("efficientnet_lite0", num_classes=3),
        128,
        "blocks.4",
        "channels_first",
        (8, 8),
    ),
    (
        lambda: timm.create_model("convnext_atto", num_classes=3, depths=(1, 1, 1, 1)),
        128,
        "stages.2",
        "channels_first",
        (8, 8),
    ),
    (
        lambda: models.SwinTransformer(
            [4, 4], 16, [1, 1, 1, 1], [1, 2, 4, 8], [4, 4], num_classes=3
        ),
        64,
        "features.3",
        "channels_last",
        (8, 8),
    ),
    (
        lambda: timm.create_model("vit_tiny_patch16_224", num_classes=3, **VIT),
        64,
        "patch_embed.proj",
        "channels_first",
        (8, 8),
    ),
    (
        lambda: models.VisionTransformer(64, 8, 2, 2, 32, 64, num_classes=3),
        64,
        "conv_proj",
        "channels_first",
        (8, 8),
    ),
]


@pytest.mark.parametrize(("build", "side", "name", "kind", "cells"), NETWORKS)
def test_the_layer_of_each_kind_of_network(
    build: Callable[[], nn.Module], side: int, name: str, kind: str, cells: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    model = build()
    for part in model.modules():  # torchvision starts the last layer of some at 0
        if isinstance(part, nn.Linear) and part.out_features == 3:
            nn.init.normal_(part.weight)
    found = find_feature_map(model, torch.rand(1, 3, side, side))
    assert (found.name, found.kind, (found.height, found.width)) == (name, kind, cells)
    image = torch.rand(1, 3, side, side)
    values = attribute(model.eval(), found, image.requires_grad_(), torch.full_like(image, 0.5), 1)
    grid = found.to_grid(values.detach())
    assert grid.shape == (1, *cells)
    assert torch.isfinite(grid).all() and grid.any()
    image = image.detach()[0]
    heatmap, _ = Explainer(wrap(model, 3)).attribute(image, torch.full_like(image, 0.5), 1)
    assert heatmap.shape == (side, side)


def test_pictures_that_are_not_square() -> None:
    found = find_feature_map(models.resnet18(num_classes=3), torch.rand(1, 3, 128, 256))
    assert (found.height, found.width) == (8, 16)
    assert token_grid(1 + 8 * 16, torch.Size([64, 128])) == (8, 16)
    assert token_grid(197, torch.Size([224, 224])) == (14, 14)
    assert token_grid(201, torch.Size([224, 224])) == (14, 14)  # with four registers
    assert token_grid(50, torch.Size([224, 224])) == (7, 7)
    assert token_grid(77, torch.Size([224, 224])) is None


class Flat(nn.Module):
    """No layer knows where anything is."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(images.mean(dim=(2, 3)))


def test_mistakes(trained: SmallNet, make_run: Callable[..., Path], tmp_path: Path) -> None:
    picture = planted(1, 4)[0][0]
    with pytest.raises(ConfigError, match="got Flat without one"):
        Predictor(wrap(Flat())).explain(picture)
    with pytest.raises(ConfigError, match=r"class_name must be a class .* Did you mean class 1\?"):
        Predictor(wrap(trained)).explain(picture, "klass 1")
    with pytest.raises(DataError, match="Cannot read"):
        Predictor(wrap(trained)).explain(tmp_path / "no.png")
    with pytest.raises(TypeError):
        Predictor(wrap(trained)).explain(3)  # type: ignore[arg-type]
    broken = SmallNet()
    nn.init.constant_(broken.fc.bias, float("nan"))
    with pytest.raises(DataError, match="not finite"):
        Predictor(wrap(broken)).explain(picture)


def test_without_captum_the_message_names_the_extra(trained: SmallNet, monkeypatch) -> None:
    monkeypatch.setattr("pochitrain.config.model.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'pochitrain\[explain\]'"):
        Predictor(wrap(trained)).explain(Image.new("RGB", (SIDE, SIDE)))


def test_an_exported_model_is_refused(trained: SmallNet) -> None:
    exported = replace(wrap(trained), network=OnnxNetwork(None), source=Path("model.onnx"))
    with pytest.raises(ConfigError, match=r"got 'model\.onnx': an exported model has no gradients"):
        Predictor(exported).explain(Image.new("RGB", (SIDE, SIDE)))
