"""Devices and precisions that are there, and the message where they are not."""

import pytest
import torch

from pochitrain.engine.device import select_device, select_precision
from pochitrain.error import ConfigError

CPU = torch.device("cpu")


def test_automatic_is_one_that_is_there() -> None:
    assert torch.zeros(1, device=select_device(None)).device.type in ("cuda", "mps", "cpu")
    assert select_device("cpu") == CPU


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "cpu:7", "meta"])
def test_a_device_that_is_not_there(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^device must be .*cpu.*, got '{name}'"):
        select_device(name)


def test_precision_of_a_cpu() -> None:
    assert select_precision("auto", CPU).name == "fp32"
    for name in ("fp32", "bf16", "fp16"):
        precision = select_precision(name, CPU)
        assert precision.name == name
        assert precision.scaler.is_enabled() is (name == "fp16")
        assert bool(precision.warnings) is (name == "fp16")  # 5 instead of 1,000 images/s here
