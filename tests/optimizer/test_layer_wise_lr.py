"""Which parameter gets which learning rate."""

import pytest
import torch
from torch import nn
from torchvision import models

from pochitrain.error import ConfigError
from pochitrain.model.block import find_blocks
from pochitrain.optimizer.layer_wise_lr import assign_rates, build_parameter_groups, decay_rates

GUIDE = {
    "conv1": 0.0001,
    "bn1": 0.0001,
    "layer1": 0.0002,
    "layer2": 0.0005,
    "layer3": 0.001,
    "layer4": 0.002,
    "fc": 0.01,
}


@pytest.fixture(scope="module")
def resnet18() -> nn.Module:
    return models.resnet18()


def tensors(rules) -> dict:
    return {rule.name: len(rule.parameters) for rule in rules}


def test_guide_example_on_resnet18(resnet18):
    """1/2/12/15/15/15/2 tensors; an unanchored search would send 9 to conv1."""
    rules = assign_rates(resnet18.named_parameters(), GUIDE, 0.5)
    assert list(tensors(rules).values()) == [1, 2, 12, 15, 15, 15, 2]
    assert [rule.rate for rule in rules] == list(GUIDE.values())
    assert sum(rule.num_values for rule in rules) == sum(p.numel() for p in resnet18.parameters())


def test_first_match_wins_and_the_rest_keeps_the_learning_rate(resnet18):
    rates = {r"layer4\.1": 0.3, "layer4": 0.2, r".*\.bias$": 0.1}
    rules = assign_rates(resnet18.named_parameters(), rates, 0.01)
    rate_of = {name: rule.rate for rule in rules for name, _ in rule.parameters}
    assert rate_of["layer4.1.conv1.weight"] == 0.3
    assert rate_of["layer4.1.bn1.bias"] == 0.3  # the earlier pattern, though .bias fits too
    assert rate_of["layer4.0.conv1.weight"] == 0.2
    assert rate_of["layer1.0.bn1.bias"] == 0.1
    assert rate_of["conv1.weight"] == 0.01
    assert rules[-1].name is None


@pytest.mark.parametrize(
    ("rates", "words"),
    [
        ({"layer9": 0.1}, ["layer_rates['layer9']", "none of 62", "conv1, bn1, layer1"]),
        ({"downsample": 0.1}, ["'downsample'", "write '.*downsample'"]),
        ({"layer": 0.1, "layer3": 0.2}, ["layer_rates['layer3']", "'layer'", "15 tensor(s)"]),
        ({"layer1": 0.1, "layer2": 0.1, r"layer[12]\.": 0.2}, ["'layer1', 'layer2'"]),
    ],
)
def test_idle_pattern_is_refused(resnet18, rates, words):
    with pytest.raises(ConfigError) as caught:
        assign_rates(resnet18.named_parameters(), rates, 0.01)
    for word in words:
        assert word in str(caught.value)


def test_decay_by_depth_on_resnet18(resnet18):
    """By hand: fc 1, layer4 1/2, ..., the stem (conv1 with its bn1) 1/32."""
    named = list(resnet18.named_parameters())
    rules = decay_rates(named, find_blocks(name for name, _ in named), 0.5, 1.0)
    assert [(rule.name, rule.rate) for rule in rules] == [
        ("conv1", 1 / 32),
        ("layer1", 1 / 16),
        ("layer2", 1 / 8),
        ("layer3", 1 / 4),
        ("layer4", 1 / 2),
        ("fc", 1.0),
    ]
    assert list(tensors(rules).values()) == [3, 12, 15, 15, 15, 2]


@pytest.mark.parametrize(
    ("name", "num_levels", "first", "last"),
    [
        ("mobilenet_v3_small", 14, "features.0", "classifier"),
        ("vit_b_16", 14, "conv_proj", "heads"),  # embeddings together, 12 layers, head
        ("squeezenet1_1", 10, "features.0", "classifier"),
        ("shufflenet_v2_x0_5", 6, "conv1", "fc"),
        ("convnext_tiny", 9, "features.0", "classifier"),
    ],
)
def test_decay_finds_the_depth_of_other_networks(name, num_levels, first, last):
    with torch.device("meta"):
        named = list(models.get_model(name, weights=None).named_parameters())
    rules = decay_rates(named, find_blocks(n for n, _ in named), 0.75, 0.01)
    assert (len(rules), rules[0].name, rules[-1].name) == (num_levels, first, last)
    assert rules[-1].rate == 0.01
    assert sum(map(len, (rule.parameters for rule in rules))) == len(named)


def test_groups_train_every_parameter_once_at_its_rate(resnet18):
    rules = assign_rates(resnet18.named_parameters(), {"fc": 0.1}, 0.01)
    optimizer = torch.optim.SGD(build_parameter_groups(rules), lr=0.01, weight_decay=0.5)
    groups = optimizer.param_groups
    assert [(g["lr"], g.get("name"), len(g["params"]), g["weight_decay"]) for g in groups] == [
        (0.1, "fc", 2, 0.5),
        (0.01, None, 60, 0.5),
    ]


def test_no_weight_decay_on_bias_and_norm(resnet18):
    rules = assign_rates(resnet18.named_parameters(), {"fc": 0.1}, 0.01)
    groups = build_parameter_groups(rules, no_weight_decay_on_bias_and_norm=True)
    optimizer = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.05)
    seen = [
        (g.get("name"), g["lr"], len(g["params"]), g["weight_decay"])
        for g in optimizer.param_groups
    ]
    # ResNet-18: 20 convolutions, 20 batch norms of two vectors, fc of a matrix and a vector
    assert seen == [
        ("fc", 0.1, 1, 0.05),
        ("fc", 0.1, 1, 0.0),
        (None, 0.01, 20, 0.05),
        (None, 0.01, 40, 0.0),
    ]
