"""A place in the config takes public classes and functions of its kind, and nothing else."""

import enum
import inspect
import pkgutil
import random
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from torch import nn
from torchvision import models, tv_tensors
from torchvision.transforms import v2

from pochitrain.config import target_allowlist
from pochitrain.config.target_allowlist import (
    RETURNED,
    allowed_targets,
    approve,
    check_allowed,
    check_target_names,
)
from pochitrain.config.target_kind import PLACES, TENSOR_TYPES, Kind
from pochitrain.engine.callback import Callback
from pochitrain.error import ConfigError

ROOTS = ["torch.nn", "torch.optim", "torchvision.models", "torchvision.transforms"]
ROOTS += ["torchvision.tv_tensors", "torchvision.datasets", "torchvision.io", "torch.hub"]
ROOTS += ["pochitrain.callback", "pochitrain.data", "pochitrain.loss", "pochitrain.model"]
ROOTS += ["pochitrain.optimizer", "pochitrain.scheduler", "pochitrain.transform"]
NODES = ["model", "data", "transform.train[0]", "transform.val[0]", "transform.batch", "optimizer"]
NODES += ["scheduler", "loss", "callbacks.x", "metrics.custom.x"]
PARTIAL = ("optimizer", "scheduler")


def accepts(place: str, target: str, partial: bool | None = None) -> bool:
    partial = place in PARTIAL if partial is None else partial
    try:
        approve(place, {"_target_": target, "_partial_": partial}, [])
    except ConfigError:
        return False
    return True


def is_step(thing: Any) -> bool:
    if not inspect.isclass(thing) or issubclass(thing, enum.Enum):
        return thing.__name__ == "load_reference"
    version_1 = thing.__module__ in ("torchvision.transforms.transforms",)
    version_1 |= thing.__module__ == "torchvision.transforms.autoaugment"
    layer = thing.__module__.startswith("torch.nn.") and issubclass(thing, nn.Module)
    return version_1 or layer or issubclass(thing, v2.Transform)


MODELS = {models.get_model_builder(name) for name in models.list_models(module=models)}
OUR_MODELS = {"build_classifier", "build_timm", "build_efficientnet_lite"}
DATA_KINDS = {"open_digits", "open_folder", "open_table", "open_shards"}
ORACLES: dict[str, Callable[[Any], bool]] = {
    "model": lambda thing: thing in MODELS or thing.__name__ in OUR_MODELS,
    "data": lambda thing: thing.__name__ in DATA_KINDS,
    "transform.train[0]": is_step,
    "transform.val[0]": is_step,
    "transform.batch": lambda thing: is_step(thing) or thing.__name__ == "BatchMix",
    "optimizer": lambda thing: issubclass(thing, torch.optim.Optimizer),
    "scheduler": lambda thing: issubclass(thing, torch.optim.lr_scheduler.LRScheduler),
    "loss": lambda thing: (
        thing.__name__ == "build_cross_entropy" or issubclass(thing, nn.modules.loss._Loss)
    ),
    "callbacks.x": lambda thing: issubclass(thing, Callback),
    "metrics.custom.x": lambda thing: False,
}


def reachable() -> Iterator[tuple[str, Any]]:
    """Every attribute of every module below the roots, and (once) of every class in them."""
    seen = set()
    for root in ROOTS:
        for found in pkgutil.iter_modules(getattr(import_module(root), "__path__", []), f"{root}."):
            if root.startswith("pochitrain"):
                import_module(found.name)
    for name in sorted(sys.modules):
        if not any(name == root or name.startswith(f"{root}.") for root in ROOTS):
            continue
        for attribute, thing in list(getattr(sys.modules[name], "__dict__", {}).items()):
            yield f"{name}.{attribute}", thing
            if inspect.isclass(thing) and thing not in seen:
                seen.add(thing)
                for inner, value in list(vars(thing).items()):
                    yield f"{name}.{attribute}.{inner}", value


def test_of_all_reachable_names_only_those_of_the_kind_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(target_allowlist, "did_you_mean", lambda *_: "")  # it takes a minute here
    names = dict(reachable())
    assert len(names) > 10_000
    passed: dict[str, set[str]] = {place: set() for place in NODES}
    for target, thing in names.items():
        for place in NODES:
            if accepts(place, target):
                passed[place].add(target)
                assert not any(part.startswith("_") for part in target.split(".")), target
                assert inspect.isclass(thing) or inspect.isfunction(thing), target
                assert ORACLES[place](thing), (place, target)
    print(f"{len(names)} names: " + ", ".join(f"{p} {len(t)}" for p, t in passed.items()))
    assert passed["metrics.custom.x"] == set()
    assert {target.rpartition(".")[2] for target in passed["model"]} == {
        *(builder.__name__ for builder in MODELS),
        *OUR_MODELS,
    }
    for place, target in {
        "optimizer": "torch.optim.SGD",
        "scheduler": "torch.optim.lr_scheduler.CosineAnnealingLR",
        "transform.val[0]": "torchvision.transforms.v2.Normalize",
        "transform.train[0]": "torchvision.transforms.ToTensor",
        "loss": "torch.nn.CrossEntropyLoss",
    }.items():
        assert target in passed[place]


def kinds() -> Iterator[Kind]:
    todo, seen = list(PLACES.values()), []
    while todo:
        kind = todo.pop()
        if kind not in seen:
            seen.append(kind)
            yield kind
            if kind.parts is not None:
                todo.append(kind.parts)


def test_the_public_name_leads_hydra_to_the_same_object() -> None:
    for kind in kinds():
        for table in (*kind.tables, *kind.deferred):
            for number, name in table().items():
                thing: Any = sys.modules[name.split(".")[0]]
                for part in name.split(".")[1:]:
                    thing = getattr(thing, part)
                assert id(thing) == number, name


def test_the_types_of_tensors_are_those_of_torchvision() -> None:
    classes = {thing for thing in vars(tv_tensors).values() if inspect.isclass(thing)}
    names = {f"{c.__module__}.{c.__name__}" for c in classes if issubclass(c, tv_tensors.TVTensor)}
    assert names <= set(TENSOR_TYPES)


WEIGHTS = {"_target_": "torchvision.models._api.Weights", "url": "file:///x", "meta": {}}
REFUSED: list[tuple[str, Any]] = [
    ("transform.val[0]", {"_target_": "torchvision.models._api.WeightsEnum.get_state_dict"}),
    ("transform.val[0]", {"_target_": "torchvision.transforms.v2.Lambda", "lambd": WEIGHTS}),
    ("transform.val[0]", {"_target_": "torchvision.transforms.v2.Lambda", "_args_": [WEIGHTS]}),
    ("transform.val[0]", {"_target_": "torchvision.models.resnet18"}),
    ("transform.val[0]", {"_target_": "pochitrain.data.folder.open_folder"}),
    ("transform.val[0]", {"_target_": "pochitrain.data.folder.list_images", "_partial_": True}),
    ("transform.val[0]", {"_target_": "torchvision.transforms.functional.hflip"}),
    ("transform.val[0]", {"_target_": "torchvision.transforms.transforms.random.seed"}),
    ("transform.val[0]", {"_target_": "torchvision.transforms.v2.functional.register_kernel"}),
    ("transform.val[0]", {"_target_": "torchvision.transforms.InterpolationMode"}),
    ("transform.val[0]", {"_target_": "torch.nn.Module.load_state_dict"}),
    ("transform.val[0]", {"_target_": "torch.nn.utils.clip_grad_norm_"}),
    ("model", {"_target_": "torchvision.models.get_model_weights"}),
    ("model", {"_target_": "torchvision.models.get_weight"}),
    ("model", {"_target_": "torchvision.models.ResNet18_Weights"}),
    ("model", {"_target_": "torchvision.models.detection.fasterrcnn_resnet50_fpn"}),
    ("model", {"_target_": "torchvision.models.resnet18", "weights": WEIGHTS}),
    ("model", {"_target_": "pochitrain.model.classifier.load_local_weights"}),
    ("model", {"_target_": "pochitrain.model.classifier.build_classifier", "_partial_": True}),
    ("model", {"_target_": "torch.hub.load"}),
    ("data", {"_target_": "torchvision.datasets.FakeData"}),
    ("data", {"_target_": "pochitrain.data.decode.open_image"}),
    ("loss", {"_target_": "torch.nn.Linear"}),
    ("optimizer", {"_target_": "torch.optim.Optimizer", "_partial_": True}),
    ("optimizer", {"_target_": "torch.optim.Adam"}),
    ("optimizer", {"_target_": "torch.optim.Adam.step", "_partial_": True}),
    ("scheduler", {"_target_": "torch.optim.swa_utils.SWALR", "_partial_": True}),
    ("callbacks.x", {"_target_": "pochitrain.callback.metrics_csv.MetricsCSV", "path": "x"}),
    ("early_stopping", {"_target_": "torch.nn.Identity"}),
    ("transform.val[0]", {"_target_": "torch.nn.Identity", "_execution_whitelist_": ["os.*"]}),
    ("transform.val[0]", {"_target_": "torch.nn.Identity", "x": {"_execution_whitelist_": 1}}),
]


@pytest.mark.parametrize(("place", "node"), REFUSED)
def test_refused(place: str, node: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as error:
        approve(place, node, [])
    assert str(error.value).startswith(place)
    assert "\n" not in str(error.value)


def test_parts_of_a_transform_are_built() -> None:
    home = "torchvision.transforms"
    mode = {"_target_": f"{home}.InterpolationMode", "value": "bicubic"}
    gamma = {"_target_": f"{home}.functional.adjust_gamma", "_partial_": True, "gamma": 2.0}
    steps = [
        {"_target_": f"{home}.v2.Resize", "size": 8, "interpolation": mode},
        {"_target_": f"{home}.transforms.Lambda", "lambd": gamma},
        {"_target_": "pochitrain.transform.reference.load_reference", "file": "a", "attribute": ""},
    ]
    node = {"_target_": f"{home}.RandomApply", "transforms": steps[:2], "p": 0.5}
    approved, names = approve("transform.train[3]", node, [])
    assert approved["transforms"][1]["_target_"] == f"{home}.Lambda"
    built = instantiate(approved, _convert_="all", _execution_whitelist_=names)
    assert "interpolation=InterpolationMode.BICUBIC" in repr(built)
    approve("transform.train[3]", {**node, "transforms": steps}, [])


def test_what_the_person_allows_may_stand_anywhere() -> None:
    node = {"_target_": "my.Own", "part": {"_target_": "os.path.join"}}
    approved, names = approve("loss", node, ["my.*", "os.path.join"])
    assert approved == node
    assert {"my.*", "os.path.join", *RETURNED} <= set(names)
    with pytest.raises(ConfigError, match=r"^loss\.part\._target_ must be a function of pochi"):
        approve("loss", node, ["my.*", "os.path.joi"])


def build_layers(width: int) -> Any:
    return nn.Sequential(nn.Linear(width, width))


def test_a_function_that_is_allowed_may_return_layers() -> None:
    own = f"{__name__}.build_layers"
    approved, names = approve("model", {"_target_": own, "width": 3}, [own])
    built = instantiate(approved, _execution_whitelist_=names)
    assert isinstance(built, nn.Sequential)


def test_the_message_names_the_kind_and_the_remedy() -> None:
    with pytest.raises(ConfigError) as error:
        approve("transform.val[2]", {"_target_": "torchvision.transforms.v2.Normalise"}, [])
    assert str(error.value) == (
        "transform.val[2]._target_ must be a transform of torchvision.transforms or "
        "torchvision.transforms.v2, or a layer of torch.nn, got "
        "'torchvision.transforms.v2.Normalise', which is not there. Did you mean Normalize? "
        "If you trust it, allow it on the command line: "
        "'allow_targets=[torchvision.transforms.v2.Normalise]'."
    )


@pytest.mark.parametrize("target", ["os.system", "builtins.eval", "torch.load", "torch.nnx.Linear"])
def test_names_are_checked_without_torch_wherever_they_stand(target: str) -> None:
    tree = {"transform": {"val": [{"_target_": "torch.nn.Linear", "inner": {"_target_": target}}]}}
    with pytest.raises(ConfigError, match=r"^transform\.val\[0\]\.inner\._target_ must be a "):
        check_target_names(tree, [])
    check_target_names(tree, [target])
    with pytest.raises(ConfigError, match=r"^metrics\.x\._target_ must be left out"):
        check_target_names({"metrics": {"x": {"_target_": "torch.nn.Linear"}}}, [])


def test_a_target_must_be_a_name() -> None:
    for target in (5, None, "", "eval", "torch..nn", "torch.nn.", ["torch.nn.Linear"]):
        with pytest.raises(ConfigError, match=r"^loss\._target_ must be the dotted name of a"):
            check_target_names({"loss": {"_target_": target}}, ["torch.*"])


def test_brackets_without_end() -> None:
    node: Any = {}
    for _ in range(5_000):
        node = {"a": [node]}
    with pytest.raises(ConfigError, match="nested too deep"):
        approve("transform.val[0]", {"_target_": "torch.nn.Identity", "x": node}, [])


def test_a_file_cannot_extend_the_list() -> None:
    for words in ([], ["epochs=1"], ["allow_targets=extend_list(mine.*)"]):
        with pytest.raises(ConfigError, match=r"must be given on the command line"):
            allowed_targets(["os.system"], words)
    assert allowed_targets(["os.system"], ["allow_targets=[os.system]"]) == ["os.system"]
    assert allowed_targets([], None) == []


def test_entries_of_the_list_are_names() -> None:
    check_allowed(["mine", "mine.*", "mine.part.*", "mine.part.Own"])
    for entry in ("*", "", ".*", "mine*", "mine.*.x", "mine..x", "mine x"):
        with pytest.raises(ConfigError, match=r"^allow_targets\[0\] must be the dotted name"):
            check_allowed([entry])


PIECES = ["torch", "nn", "optim", "torchvision", "models", "transforms", "v2", "functional", "os"]
PIECES += ["_api", "WeightsEnum", "get_state_dict", "Weights", "system", "builtins", "eval", "hub"]
PIECES += ["resnet", "random", "sys", "modules", "__dict__", "__class__", "__init__", "__globals__"]
PIECES += ["load", "pochitrain", "data", "folder", "transform", "value", "model", "classifier", "x"]
PIECES += ["", " ", "..", "ｏｓ", "système", "\u202e", "0", "*", "$", "${oc.env:HOME}", "a" * 300]


def test_random_names_are_one_error_and_import_nothing() -> None:
    draw = random.Random(0)
    for place in NODES:
        accepts(place, "x.y")  # what our own tables import
    before = set(sys.modules)
    refused = 0
    for _ in range(5_000):
        target = ".".join(draw.choices(PIECES, k=draw.randint(1, 6)))
        node: Any = {"_target_": target, "_partial_": draw.choice([True, False])}
        if draw.random() < 0.5:
            key = draw.choice(["lambd", "_args_", "weights"])
            node = {"_target_": "torchvision.transforms.v2.Lambda", key: [node]}
        place = draw.choice(NODES)
        with pytest.raises(ConfigError) as error:
            approve(place, node, [])
        message = str(error.value)
        assert message.startswith(place)
        assert "\n" not in message
        assert len(message) < 700
        refused += 1
    assert set(sys.modules) == before
    print(f"{refused} targets refused")


def test_it_works_on_a_copy() -> None:
    node = {"_target_": "torch.nn.modules.linear.Identity"}
    approved, _ = approve("transform.val[0]", node, [])
    assert approved["_target_"] == "torch.nn.Identity"
    assert node["_target_"] == "torch.nn.modules.linear.Identity"
