"""Where a classifier ends, and what goes into its last layer."""

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from pochitrain.error import ConfigError
from pochitrain.model.classifier import build_classifier
from pochitrain.model.head import find_head, head_keys, reset_head, split_head

FAMILIES = {
    "densenet121": "classifier",
    "efficientnet_b0": "classifier.1",
    "mobilenet_v3_small": "classifier.3",
    "resnet18": "fc",
    "shufflenet_v2_x0_5": "fc",
    "swin_t": "head",
}
TIMM_FAMILIES = {
    "tf_efficientnet_lite0": "classifier",
    "resnet10t": "fc",
    "convnext_atto": "head.fc",
    "vit_tiny_patch16_224": "head",
    "mobilenetv4_conv_small_035": "classifier",
}


@pytest.mark.parametrize(("name", "path"), FAMILIES.items())
def test_features_of_torchvisions_models(name: str, path: str) -> None:
    check_features(build_classifier(name, 3), path, 64)


@pytest.mark.parametrize(("name", "path"), TIMM_FAMILIES.items())
def test_features_of_timms_models(name: str, path: str) -> None:
    check_features(timm.create_model(name, num_classes=3), path, 224 if "vit" in name else 64)


def check_features(model: nn.Module, path: str, size_px: int) -> None:
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    split = split_head(model)
    images = torch.randn(2, 3, size_px, size_px)
    features = split.features(images)
    assert split.path == path
    assert all(part.training for part in model.modules())  # and nothing else has changed
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not features.requires_grad
    model.eval()
    with torch.no_grad():
        assert torch.equal(F.linear(features, split.layer.weight, split.layer.bias), model(images))


def test_modules_keep_their_mode() -> None:
    model = build_classifier("resnet18", 2).train()
    model.bn1.eval()
    split_head(model).features(torch.randn(2, 3, 32, 32))
    assert [name for name, part in model.named_modules() if not part.training] == ["bn1"]


def test_squeezenet_ends_in_no_linear() -> None:
    with pytest.raises(ConfigError, match=r"one Linear on a vector .* classifier\.1, a Conv2d\."):
        split_head(build_classifier("squeezenet1_1", 2))


def test_a_distilled_model_has_two_heads() -> None:
    model = timm.create_model("deit_tiny_distilled_patch16_224", num_classes=2)
    assert head_keys(model) == {"head.weight", "head.bias", "head_dist.weight", "head_dist.bias"}
    with pytest.raises(ConfigError, match="head, a Linear and head_dist, a Linear"):
        split_head(model)


class Scaled(nn.Module):
    """Scores that are not those of the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 2 * torch.as_tensor(self.fc(images.mean(dim=(2, 3))))


class PerPixel(nn.Module):
    """A last layer on more than a vector per image."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.fc(images.mean(dim=1)))


@pytest.mark.parametrize("model", [Scaled(), PerPixel()])
def test_other_models_are_refused(model: nn.Module) -> None:
    with pytest.raises(ConfigError, match="are not those of its last layer, fc, alone"):
        split_head(model).features(torch.ones(2, 3, 4, 4))


def test_a_model_without_weights_has_no_head() -> None:
    assert find_head(nn.Flatten()) == []
    with pytest.raises(ConfigError, match="no layer of weights"):
        split_head(nn.Flatten())


def test_a_head_is_drawn_anew_from_the_random_numbers_of_now() -> None:
    model = build_classifier("resnet18", 3)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    torch.manual_seed(5)
    reset_head(model)
    changed = {
        key for key, value in model.state_dict().items() if not torch.equal(value, before[key])
    }
    assert changed == {"fc.weight", "fc.bias"}
    torch.manual_seed(5)
    assert torch.equal(model.fc.weight, nn.Linear(512, 3).weight)
