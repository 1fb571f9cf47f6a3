"""Transforms of a file become nodes that build a pipeline with equal repr and equal output."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from pochitrain.config.component import Components
from pochitrain.error import ConfigError
from pochitrain.legacy.read import read_python_config
from pochitrain.legacy.reference import trust, trust_nothing
from pochitrain.legacy.translate import Translation, translate
from pochitrain.transform.reference import load_reference

IMPORTS = """
import functools
import numpy as np
import torch
from torch import nn
from torchvision import transforms, tv_tensors
from torchvision.transforms import InterpolationMode, v2
import torchvision.transforms.functional as F
mean = [0.5, 0.4, 0.3]
std = (0.25, 0.25, 0.25)
def half(x):
    return x.point(lambda level: level // 2)
class Invert:
    def __call__(self, x):
        return F.invert(x)
"""

PICTURES = [
    "transforms.Resize(20)",
    "transforms.Resize((20, 24), interpolation=InterpolationMode.BICUBIC, antialias=True)",
    "transforms.CenterCrop([16, 18])",
    "transforms.Pad((1, 2), fill=(1, 2, 3), padding_mode='constant')",
    "transforms.RandomResizedCrop(16, scale=(0.5, 1.0), ratio=(0.9, 1.1))",
    "transforms.RandomCrop(16, padding=4, pad_if_needed=True)",
    "transforms.RandomHorizontalFlip(p=0.7)",
    "transforms.ColorJitter(0.2, (0.5, 1.5), saturation=0.1, hue=(-0.1, 0.1))",
    "transforms.RandomRotation((-20, 20), expand=True, fill=3)",
    "transforms.RandomAffine(10, translate=(0.1, 0.2), scale=(0.9, 1.1), shear=[1, 2, 3, 4])",
    "transforms.RandomPerspective(0.3, p=1.0)",
    "transforms.RandomGrayscale(p=0.5)",
    "transforms.GaussianBlur(3, sigma=(0.1, 2.0))",
    "transforms.AutoAugment(transforms.AutoAugmentPolicy.CIFAR10)",
    "transforms.RandAugment(2, 9)",
    "transforms.TrivialAugmentWide(interpolation=InterpolationMode.BILINEAR)",
    "transforms.RandomApply([transforms.ColorJitter(0.4), transforms.RandomRotation(9)], p=0.4)",
    "transforms.RandomChoice([transforms.RandomRotation(9), transforms.Grayscale(3)])",
    "transforms.RandomOrder([transforms.RandomRotation(9), transforms.RandomVerticalFlip()])",
    "nn.Sequential(transforms.RandomHorizontalFlip(0.5), transforms.CenterCrop(16))",
    "transforms.Compose([transforms.Compose([transforms.Resize(18)]), transforms.CenterCrop(9)])",
    "v2.Resize(size=(20, 24), antialias=True)",
    "v2.RandomResizedCrop(16, scale=(0.5, 1.0))",
    "v2.RandomApply(nn.ModuleList([v2.ColorJitter(0.4)]), p=0.6)",
    "v2.RandomChoice([v2.RandomRotation((-9, 9)), v2.RandomGrayscale(p=1.0)], p=[0.2, 0.8])",
    "v2.RandomPhotometricDistort(p=1.0)",
    "v2.ScaleJitter((20, 20), scale_range=(0.5, 1.5))",
    "v2.AugMix()",
    "v2.ElasticTransform(alpha=30.0, sigma=[4.0, 5.0])",
    "transforms.Lambda(lambda x: x.rotate(90))",
    "v2.Lambda(half)",
    "half",
    "Invert()",
    "F.hflip",
    "functools.partial(F.adjust_gamma, gamma=2.0)",
    "transforms.RandomApply([half, transforms.Lambda(lambda x: F.vflip(x))], p=1.0)",
]
TENSORS = [
    "transforms.Normalize(mean=mean, std=std)",
    "transforms.Normalize((0.5, 0.5, 0.5), [0.2, 0.2, 0.2], inplace=True)",
    "transforms.RandomErasing(p=1.0, scale=(0.1, 0.2), value=(1, 2, 3))",
    "transforms.ConvertImageDtype(torch.float64)",
    "v2.Normalize(mean, std)",
    "transforms.Normalize(np.array(mean), np.array(std))",
    "transforms.Normalize(torch.tensor(mean), torch.tensor(std))",
    "v2.ToDtype(torch.float16, scale=True)",
    "v2.ToDtype({tv_tensors.Image: torch.float32, 'others': torch.float16}, scale=True)",
    "transforms.LinearTransformation(torch.eye(12), torch.full((12,), 0.25))",
    "nn.Sequential(nn.AvgPool2d(2), nn.Identity())",
]


def build(translation: Translation) -> list[Any]:
    steps = translation.selection.options["transform"].values["train"]
    root = translation.selection.root
    tree = OmegaConf.create({"mean": root["mean"], "std": root["std"], "steps": steps})
    parts = Components(tree, [])
    return [parts.build(f"transform.train[{i}]", step) for i, step in enumerate(tree.steps)]


def read(tmp_path: Path, steps: str, wrap: str = "transforms.Compose([{}])") -> Any:
    path = tmp_path / "old.py"
    path.write_text(f"{IMPORTS}\ntrain_transform = {wrap.format(steps)}\n", encoding="utf-8")
    config = read_python_config(path)
    translation = translate(config)
    trust(config, translation.references)
    return config.names["train_transform"], translation


def run(step: Callable[..., Any], value: Any) -> Any:
    torch.manual_seed(3)
    np.random.seed(3)
    import random

    random.seed(3)
    result = step(value)
    return np.asarray(result).tolist()


@pytest.mark.parametrize("text", PICTURES)
def test_pictures(tmp_path: Path, text: str) -> None:
    pipeline, translation = read(tmp_path, text)
    (original,), (rebuilt,) = pipeline.transforms, build(translation)
    noise = np.random.default_rng(0).integers(0, 256, (32, 28, 3), dtype=np.uint8)
    if not text.startswith(("F.", "functools")):
        assert repr(rebuilt) == repr(original)
    image = Image.fromarray(noise)
    for _ in range(2):
        assert run(rebuilt, image) == run(original, image)


@pytest.mark.parametrize("text", TENSORS)
def test_tensors(tmp_path: Path, text: str) -> None:
    pipeline, translation = read(tmp_path, text)
    (original,), (rebuilt,) = pipeline.transforms, build(translation)
    assert repr(rebuilt) == repr(original)
    size = 2 if "Linear" in text else 8
    tensor = torch.rand(3, size, size, generator=torch.Generator().manual_seed(0))
    assert run(rebuilt, tensor.clone()) == run(original, tensor.clone())
    assert translation.references == []


@pytest.mark.parametrize(
    ("wrap", "names"),
    [
        ("transforms.Compose([transforms.Resize(8), transforms.ToTensor()])", 2),
        ("v2.Compose([v2.Resize(8), v2.ToImage(), v2.ToDtype(torch.float32)])", 3),
        ("transforms.ToTensor()", 1),
        ("nn.Sequential(transforms.Resize(8), transforms.CenterCrop(8))", 2),
        ("[transforms.Resize(8), transforms.ToTensor()]", 2),
        ("half", 1),
    ],
)
def test_whole_pipelines(tmp_path: Path, wrap: str, names: int) -> None:
    _, translation = read(tmp_path, "", wrap.replace("{", "{{"))
    assert len(build(translation)) == names


def test_mean_of_the_file_stays_an_override_of_the_command_line(tmp_path: Path) -> None:
    _, translation = read(tmp_path, "transforms.Normalize(mean, std)")
    (node,) = translation.selection.options["transform"].values["train"]
    assert node["mean"] == "${mean}"
    assert node["std"]["items"] == "${std}"


@pytest.mark.parametrize("make", ["{}", "list({})", "np.array({})", "torch.tensor({})"])
def test_equal_mean_and_std_are_not_taken_for_each_other(tmp_path: Path, make: str) -> None:
    path = tmp_path / "old.py"
    path.write_text(
        f"{IMPORTS}\nmean = std = {make.format('(0.5, 0.5, 0.5)')}\n"
        "train_transform = transforms.Compose(\n"
        "    [transforms.Normalize(mean, std), transforms.Pad(1, fill=(0.5, 0.5, 0.5))])\n"
    )
    node, pad = translate(read_python_config(path)).selection.options["transform"].values["train"]
    assert "${mean}" in str(node["mean"])
    assert "${std}" in str(node["std"])
    assert "$" not in str(pad)


def test_layer_with_weights_of_its_own_is_not_built_anew(tmp_path: Path) -> None:
    text = "nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)"
    _, translation = read(tmp_path, text)
    assert [attribute for _, attribute in translation.references] == [
        "train_transform.transforms[0]"
    ]


def test_method_of_a_c_class_is_a_reference(tmp_path: Path) -> None:
    _, translation = read(tmp_path, "torch.Tensor.float")
    assert len(translation.references) == 1


def test_an_object_that_was_changed_after_it_was_built_is_not_rebuilt_wrongly(
    tmp_path: Path,
) -> None:
    path = tmp_path / "old.py"
    path.write_text(
        f"{IMPORTS}\nflip = transforms.RandomHorizontalFlip(0.1)\nflip.p = 1.0\n"
        "train_transform = transforms.Compose([flip])\n"
        "train_transform.transforms.append(transforms.ToTensor())\n"
    )
    translation = translate(read_python_config(path))
    steps = translation.selection.options["transform"].values["train"]
    assert steps[0]["attribute"] == "flip"
    assert steps[1]["_target_"] == "torchvision.transforms.ToTensor"


def test_references_are_found_where_the_file_has_moved_to(tmp_path: Path) -> None:
    _, translation = read(tmp_path, "half")
    (file, attribute), *_ = translation.references
    (tmp_path / "moved").mkdir()
    moved = (tmp_path / "old.py").rename(tmp_path / "moved" / "old.py")
    config = read_python_config(moved)
    trust(config, translate(config).references)
    assert load_reference(file, attribute) is config.names["half"]
    (tmp_path / "old.py").touch()  # another file of that name, not the one that was named
    with pytest.raises(ConfigError, match="runs only if the command has --config"):
        load_reference(file, attribute)


def test_references_are_followed_only_where_the_file_was_named(tmp_path: Path) -> None:
    _, translation = read(tmp_path, "half, Invert(), transforms.Lambda(lambda x: x)")
    names = [attribute for _, attribute in translation.references]
    assert names == [
        "half",
        "train_transform.transforms[1]",
        "train_transform.transforms[2].lambd",
    ]
    file = translation.references[0][0]
    assert callable(load_reference(file, "half"))
    with pytest.raises(ConfigError, match="no longer holds 'gone'"):
        load_reference(file, "gone")
    other = str(tmp_path / "other.py")
    with pytest.raises(ConfigError, match="runs only if the command has --config"):
        load_reference(other, "half")
    trust_nothing()
    with pytest.raises(ConfigError, match="runs only if the command has --config"):
        load_reference(file, "half")
