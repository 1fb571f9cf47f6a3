"""What a checkpoint must be to be loaded, and what it may not do."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest
import torch
from checkpoint_factory import VAL, checkpoint_content
from omegaconf import OmegaConf
from torchvision import models

from pochitrain.config.component import Components
from pochitrain.error import ConfigError
from pochitrain.inference.classifier import METADATA_KEY, build_network, load_classifier

MakeRun = Callable[..., Path]


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("executed",)


def test_pickled_code_is_refused_and_not_run(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = make_run([], content={**checkpoint_content(["a", "b"]), "extra": Payload()})
    with pytest.raises(ConfigError, match="holds pickled code or is damaged"):
        load_classifier(run)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("keep", [0, 10, 50_000])
def test_truncated(make_run: MakeRun, keep: int) -> None:
    file = make_run(["a", "b"]) / "models" / "best.pth"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ConfigError, match="damaged"):
        load_classifier(file)


def test_a_bit_of_a_weight_is_flipped(make_run: MakeRun) -> None:
    file = make_run(["a", "b"]) / "models" / "best.pth"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0x40  # torch.load takes it
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"damaged or truncated .* is not as it was written"):
        load_classifier(file)


def test_another_format(make_run: MakeRun) -> None:
    run = make_run([], content={**checkpoint_content(["a", "b"]), "format": 99})
    with pytest.raises(ConfigError, match="has format 99"):
        load_classifier(run)


def test_a_key_is_missing(make_run: MakeRun) -> None:
    content = checkpoint_content(["a", "b"])
    del content["transforms"]
    with pytest.raises(ConfigError, match="incomplete"):
        load_classifier(make_run([], content=content))


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("transforms", {"val": []}, "transforms.val is not a list of nodes"),
        ("transforms", {"val": 5}, "transforms.val is not a list of nodes"),
        ("transforms", {"val": ["ToTensor"]}, "transforms.val is not a list of nodes"),
        ("class_names", [], "class_names is not a list of names"),
        ("class_names", "ab", "class_names is not a list of names"),
        ("class_names", [1, 2], "class_names is not a list of names"),
        ("config", {"data": None}, "config is not a mapping with data"),
    ],
)
def test_facts_of_another_shape(
    make_run: MakeRun, tmp_path: Path, key: str, value: object, reason: str
) -> None:
    """In a checkpoint, and in the metadata of an ONNX file."""
    content = {**checkpoint_content(["a", "b"]), key: value}
    with pytest.raises(ConfigError, match=f"is incomplete.*{reason}"):
        load_classifier(make_run([], content=content))
    file = tmp_path / "model.onnx"
    write_identity(file, {name: content[name] for name in ("config", "class_names", "transforms")})
    with pytest.raises(ConfigError, match=f"damaged metadata.*{reason}"):
        load_classifier(file)


def write_identity(file: Path, facts: dict[str, object]) -> None:
    """An ONNX file that gives back what it gets, with `facts` as our metadata."""
    ends = [onnx.helper.make_tensor_value_info(name, 1, [1]) for name in ("x", "y")]
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "identity", ends[:1], ends[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
    model.ir_version = 10  # the newest that every ONNX Runtime we allow can read
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(facts)})
    onnx.save(model, file)


def test_weights_of_another_model(make_run: MakeRun) -> None:
    content = checkpoint_content(["a", "b"])
    content["model"] = {"wrong": torch.zeros(1)}
    with pytest.raises(ConfigError, match="does not fit its own model"):
        load_classifier(make_run([], content=content))


def test_no_model_in_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a folder without models/best"):
        load_classifier(tmp_path)


def test_a_transform_that_may_not_run_names_the_flag(make_run: MakeRun) -> None:
    content = checkpoint_content(["a", "b"])
    content["transforms"]["val"] = [{"_target_": "os.system", "command": "mkdir executed"}, *VAL]
    with pytest.raises(ConfigError, match=r"--allow 'os\.system'"):
        load_classifier(make_run([], content=content))


def test_a_target_that_is_allowed_runs(make_run: MakeRun) -> None:
    content = checkpoint_content(["a", "b"])
    step = {"_target_": "PIL.ImageOps.flip", "_partial_": True}
    content["transforms"]["val"] = [step, *VAL]
    classifier = load_classifier(make_run([], content=content), allow=["PIL.ImageOps.*"])
    assert len(classifier.class_names) == 2


def test_code_of_a_python_config_is_not_executed(make_run: MakeRun, tmp_path: Path) -> None:
    config = tmp_path / "config.py"
    config.write_text("import os\nos.mkdir('executed')\nflip = lambda picture: picture\n")
    content = checkpoint_content(["a", "b"])
    reference = {
        "_target_": "pochitrain.transform.reference.load_reference",
        "file": str(config),
        "attribute": "flip",
    }
    content["transforms"]["val"] = [reference, *VAL]
    with pytest.raises(ConfigError, match=r"--config .*config.py"):
        load_classifier(make_run([], content=content))
    assert not Path("executed").exists()


def test_a_device_of_another_machine_falls_back(make_run: MakeRun) -> None:
    classifier = load_classifier(make_run(["a", "b"], device="cuda:77"))
    assert classifier.network.device.type in ("cpu", "cuda", "mps")
    with pytest.raises(ConfigError, match="cuda:77"):
        load_classifier(classifier.source, device="cuda:77")


def test_pretrained_googlenet_keeps_its_input_transform() -> None:
    node = {
        "_target_": "pochitrain.model.classifier.build_classifier",
        "name": "googlenet",
        "pretrained": True,
        "weights": None,
    }
    parts = Components(OmegaConf.create({"model": node}), [])
    model = build_network(parts, 3)  # no network: the weights are not fetched
    assert isinstance(model, models.GoogLeNet)
    assert model.transform_input is True


def test_a_model_from_a_file_has_no_input_transform(monkeypatch: pytest.MonkeyPatch) -> None:
    """In training a file counts more than pretrained=true, which every strategy sets."""
    monkeypatch.setattr(
        "pochitrain.inference.classifier.build",
        lambda parts, key, node: SimpleNamespace(transform_input=node["pretrained"]),
    )
    node = {"name": "googlenet", "pretrained": True, "weights": "mine.pth"}
    model: Any = build_network(Components(OmegaConf.create({"model": node}), []), 3)
    assert model.transform_input is False
