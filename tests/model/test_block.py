"""What counts as a block of a network."""

import pytest
import torch
from torchvision import models

from pochitrain.model.block import find_blocks


def blocks(name):
    with torch.device("meta"):
        model = models.get_model(name, weights=None)
    return list(dict.fromkeys(find_blocks(n for n, _ in model.named_parameters()).values()))


@pytest.mark.parametrize("name", ["resnet18", "resnet152"])
def test_resnet_blocks_are_its_stages(name):
    assert blocks(name) == ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"]


def test_containers_are_opened():
    assert blocks("squeezenet1_1")[:3] == ["features.0", "features.3", "features.4"]
    found = blocks("vit_b_16")
    assert found[3] == "encoder.layers.encoder_layer_0"
    assert found[-2:] == ["encoder.ln", "heads"]


def test_small_models_of_ones_own():
    names = ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert list(find_blocks(names).values()) == ["0", "0", "2", "2"]
    assert find_blocks(["weight"]) == {"weight": "weight"}
    assert find_blocks([]) == {}
    deep = ["net.body.a.weight", "net.body.b.weight", "net.body.c.weight", "net.head.weight"]
    assert list(find_blocks(deep).values()) == [
        "net.body.a",
        "net.body.b",
        "net.body.c",
        "net.head",
    ]
