"""When features of an earlier run are of no use."""

from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from pochitrain.run.feature_key import depends_on_seed, describe_dependencies, uses_own_code

V2 = "torchvision.transforms.v2"


class Own(nn.Linear):
    """A layer of a user."""


def config(*steps: dict[str, Any], **changed: Any) -> Any:
    model = {"_target_": "a.b", "name": "resnet18", "num_classes": None}
    base = {"model": model, "channels_last": True, "deterministic": False}
    return OmegaConf.create({**base, "transform": {"val": list(steps)}, **changed})


def test_code_of_the_user_may_change() -> None:
    plain = nn.Sequential(nn.Linear(2, 2))
    resize = {"_target_": f"{V2}.Resize", "size": 8}
    assert not uses_own_code(config(resize), plain)
    assert uses_own_code(config(resize), nn.Sequential(Own(2, 2)))
    inner = {"_target_": f"{V2}.RandomApply", "transforms": [{"_target_": "mine.Blur"}]}
    assert uses_own_code(config(resize, inner), plain)
    reference = {"_target_": "pochitrain.transform.reference.load_reference", "name": "blur"}
    assert uses_own_code(config(reference), plain)


@pytest.mark.parametrize(
    ("name", "random"), [("Resize", False), ("Normalize", False), ("RandomCrop", True)]
)
def test_only_random_steps_depend_on_the_seed(name: str, random: bool) -> None:
    fit = {"_target_": "pochitrain.transform.fit.FitImage"}
    assert depends_on_seed([fit, {"_target_": f"{V2}.{name}"}]) is random


def test_exact_features_are_not_those_of_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    exact = config(deterministic=True)
    assert describe_dependencies(exact, gpu) != describe_dependencies(config(), gpu)
    assert describe_dependencies(exact, cpu) == describe_dependencies(config(), cpu)
    other = config(model={"_target_": "a.b", "name": "resnet18", "num_classes": 5})
    assert describe_dependencies(other, cpu) == describe_dependencies(config(), cpu)
