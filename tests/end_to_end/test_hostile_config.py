"""A config, a run, a checkpoint or an ONNX file that tries to run code is one refusal."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_factory import VAL, checkpoint_content

Pochi = Callable[..., Any]


class Payload:
    """Makes a folder `executed` where it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("executed",)


@pytest.fixture
def gadget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The node that made torchvision unpickle a file of the attacker's choice."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    payload = tmp_path / "payload.pth"
    torch.save(Payload(), payload)
    weights = {"_target_": "torchvision.models._api.Weights", "url": payload.as_uri()}
    weights |= {"transforms": None, "meta": {}}
    return {
        "_target_": "torchvision.models._api.WeightsEnum.get_state_dict",
        "_args_": [weights],
    }


def check(outcome: Any, tmp_path: Path) -> None:
    assert outcome.code == 2
    lines = outcome.err.strip().splitlines()
    assert len(lines) == 1
    assert "_target_ must be a transform of torchvision.transforms" in lines[0]
    assert "torchvision.models._api.WeightsEnum.get_state_dict" in lines[0]
    assert not (tmp_path / "executed").exists()
    assert not (tmp_path / "torch").exists()
    assert not (tmp_path / "outputs").exists()


def test_the_payload_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(Payload()))
    assert (tmp_path / "executed").is_dir()


@pytest.mark.parametrize("wrapped", [False, True])
def test_experiment(pochi: Pochi, tmp_path: Path, gadget: dict[str, Any], wrapped: bool) -> None:
    step = {"_target_": "torchvision.transforms.v2.Lambda", "lambd": gadget} if wrapped else gadget
    content = {"transform": {"train": [step, {"_target_": "torchvision.transforms.ToTensor"}]}}
    file = tmp_path / "conf" / "experiment" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(f"# @package _global_\n{json.dumps(content)}\n")
    outcome = pochi("--config-dir=conf", "experiment=mine")
    assert outcome.code == 2
    if wrapped:
        assert "transform.train[0].lambd._target_ must be a transform, enum or fun" in outcome.err
        assert not (tmp_path / "executed").exists()
    else:
        check(outcome, tmp_path)


def test_run(pochi: Pochi, tmp_path: Path, gadget: dict[str, Any]) -> None:
    shown = pochi("--cfg", "job")
    steps = f"transform:\n  train:\n  - {json.dumps(gadget)}\n"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(
        shown.out.replace("transform:\n  train:\n", steps, 1)
    )
    check(pochi("resume=run"), tmp_path)


def test_checkpoint(
    pochi: Pochi, make_run: Callable[..., Path], tmp_path: Path, gadget: dict[str, Any]
) -> None:
    content = checkpoint_content(["a", "b"])
    content["transforms"]["val"] = [gadget, *VAL]
    run = make_run([], content=content)
    check(pochi(str(run), command="infer", prog="pochi"), tmp_path)


def test_onnx(pochi: Pochi, tmp_path: Path, gadget: dict[str, Any]) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from pochitrain.inference.classifier import METADATA_KEY

    content = checkpoint_content(["a", "b"])
    facts = {key: content[key] for key in ("config", "class_names")}
    facts["transforms"] = {"val": [gadget, *VAL]}
    ends = [onnx.helper.make_tensor_value_info(name, 1, [1]) for name in ("x", "y")]
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "identity", ends[:1], ends[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
    model.ir_version = 10
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(facts)})
    onnx.save(model, tmp_path / "model.onnx")
    check(pochi("model.onnx", command="infer", prog="pochi"), tmp_path)


HYDRA = [
    ("hydra: {callbacks: {x: GADGET}}", "hydra.callbacks"),
    (
        "hydra: {job: {env_set: {GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: core.fsmonitor, "
        "GIT_CONFIG_VALUE_0: mkdir executed; false}}}",
        "hydra.job.env_set must be given on the command line, got values of GIT_CONFIG_COUNT, ",
    ),
    (
        "hydra: {overrides: {task: ['allow_targets=[os.*]']}}\n"
        "allow_targets: ['os.*']\ncallbacks: {x: GADGET}",
        "hydra.overrides.task must be empty in config files, got ['allow_targets=[os.*]']",
    ),
]


@pytest.mark.parametrize(("text", "message"), HYDRA)
def test_settings_of_hydra(
    pochi: Pochi, tmp_path: Path, gadget: dict[str, Any], text: str, message: str
) -> None:
    file = tmp_path / "conf" / "experiment" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("# @package _global_\n" + text.replace("GADGET", json.dumps(gadget)) + "\n")
    outcome = pochi("--config-dir=conf", "experiment=mine", "data=folder", "data.train_root=no")
    assert outcome.code == 2
    assert message in outcome.err
    assert not (tmp_path / "executed").exists()
    assert not (tmp_path / "outputs").exists()


LAUNCHERS = [
    ("submitit_slurm", "none", "python: 'mkdir executed;'"),
    ("submitit_slurm", "default", "setup: [mkdir executed]"),
    ("ray", "none", "runtime_env: {py_executable: 'mkdir executed;'}"),
    ("ray", "default", "address: 'ray://evil:10001'"),
]
CLAIM = "overrides: {hydra: ['hydra.launcher.python=x']}"
"""As if the setting had been typed."""


@pytest.mark.parametrize(("launcher", "search", "setting"), LAUNCHERS)
def test_settings_of_a_launcher(
    pochi: Pochi, tmp_path: Path, launcher: str, search: str, setting: str
) -> None:
    """A grid and a search, of somebody who typed no launcher."""
    file = tmp_path / "conf" / "experiment" / "mine.yaml"
    file.parent.mkdir(parents=True)
    choice = f"defaults: [{{override /hydra/launcher: {launcher}}}]"
    file.write_text(f"# @package _global_\n{choice}\nhydra: {{launcher: {{{setting}}}}}\n")
    words = ("experiment=mine", f"optuna={search}", f"work_dir={tmp_path}/out")
    outcome = pochi("--multirun", "--config-dir=conf", *words)
    assert outcome.code == 2, outcome.err
    key = f"hydra.launcher.{setting.partition(':')[0]}"
    assert outcome.err.startswith(f"{key} must be given on the command line, got a value from a")
    assert not (tmp_path / "executed").exists() and not (tmp_path / "out").exists()
    file.write_text(file.read_text().replace("hydra: {", f"hydra: {{{CLAIM}, "))
    outcome = pochi("--multirun", "--config-dir=conf", *words)
    assert outcome.code == 2
    assert "hydra.overrides.hydra must be empty in config files" in outcome.err
