"""Every option of every group, found on disk: it composes, is checked, builds, steps and survives
saving. A new YAML file is covered without a change here."""

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hydra import compose
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from pochitrain.config.component import Components
from pochitrain.config.root import GROUPS, RootConfig, validate
from pochitrain.data.dataset import DataSplits
from pochitrain.error import ConfigError
from pochitrain.loss.criterion import build_criterion
from pochitrain.paths import config_directory
from pochitrain.transform.pipeline import build_pipeline, try_pipeline

Compose = Callable[..., DictConfig]
CONF = config_directory()
NOT_OURS = {"hydra", "legacy"}
"""Folders of conf/ that hold no part of a run: Hydra's own groups; a placeholder."""


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


ALL = [
    (folder.name, option)
    for folder in sorted(CONF.iterdir())
    if folder.is_dir() and folder.name not in NOT_OURS
    for option in options(folder.name)
]
GROUP_OPTIONS = [(group, option) for group, option in ALL if group != "experiment"]


def saved_and_loaded(state: dict[str, Any]) -> dict[str, Any]:
    """`state` as it comes back from a checkpoint."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


def test_every_group_of_the_root_has_options_and_a_check() -> None:
    groups = {group for group, _ in GROUP_OPTIONS}
    fields = RootConfig.__dataclass_fields__
    assert groups == {group for group in GROUPS if fields[group].type is Any}


@pytest.mark.parametrize(("group", "option"), GROUP_OPTIONS)
def test_composes_and_is_valid(composed: Compose, group: str, option: str) -> None:
    cfg = composed(f"{group}={option}")
    validate(cfg)
    kind = OmegaConf.get_type(cfg[group])
    assert kind in GROUPS[group][0].values(), "its first default is its schema"


@pytest.mark.parametrize(("group", "option"), GROUP_OPTIONS)
def test_refuses_a_key_that_it_does_not_have(composed: Compose, group: str, option: str) -> None:
    with pytest.raises(HydraException, match="nosuchkey"):
        compose("config", [f"{group}={option}", f"{group}.nosuchkey=1"])
    added = composed(f"{group}={option}", f"+{group}.nosuchkey=1")
    with pytest.raises(ConfigError, match=rf"^{group}\.nosuchkey is not a key of the config\."):
        validate(added)


@pytest.mark.parametrize(("group", "option"), GROUP_OPTIONS)
def test_survives_being_written_as_yaml(composed: Compose, group: str, option: str) -> None:
    cfg = composed(f"{group}={option}")
    before = OmegaConf.to_container(cfg, resolve=True)
    text = OmegaConf.to_yaml(cfg, resolve=True)
    assert OmegaConf.to_container(OmegaConf.create(text), resolve=True) == before


@pytest.mark.parametrize("option", options("experiment"))
def test_experiment_is_valid_and_says_its_command(composed: Compose, option: str) -> None:
    validate(composed(f"experiment={option}"))
    text = (CONF / "experiment" / f"{option}.yaml").read_text(encoding="utf-8")
    assert text.startswith("# @package _global_\n")
    assert f"python train.py experiment={option}" in text.partition("defaults:")[0]


@pytest.mark.parametrize("option", options("model"))
def test_model_gives_scores_and_survives_saving(composed: Compose, option: str) -> None:
    parts = Components(composed(f"model={option}"))
    torch.manual_seed(0)
    model = parts.build("model", num_classes=3).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        logits = model(images)
        assert logits.shape == (2, 3)
        other = parts.build("model", num_classes=3).eval()
        other.load_state_dict(saved_and_loaded(model.state_dict()))
        assert torch.equal(other(images), logits)


@pytest.mark.parametrize("option", options("data"))
def test_data_gives_labelled_rgb_pictures(composed: Compose, option: str) -> None:
    cfg = composed(f"data={option}")
    data: DataSplits = Components(cfg).build_data()
    assert sum(data.count_per_class(data.train)) == len(data.train) > 0
    assert data.train.load(0).mode == "RGB"
    assert data.train.name(0)
    assert set(data.train.labels) == set(range(len(data.class_names)))


@pytest.mark.parametrize("option", options("transform"))
@pytest.mark.parametrize("split", ["train", "val"])
def test_transform_gives_float_tensors(composed: Compose, option: str, split: str) -> None:
    cfg = composed(f"transform={option}")
    parts = Components(cfg)
    nodes = cfg.transform[split]
    steps = [parts.build(f"transform.{split}[{i}]", node) for i, node in enumerate(nodes)]
    try_pipeline(build_pipeline(steps), f"transform.{split}")


def parameters() -> list[torch.nn.Parameter]:
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(3, 2)), torch.nn.Parameter(torch.randn(3))]


def take_steps(optimizer: torch.optim.Optimizer, count: int) -> None:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.ones_like(parameter)
    for _ in range(count):
        optimizer.step()


@pytest.mark.parametrize("option", options("optimizer"))
def test_optimizer_steps_and_goes_on_after_saving(composed: Compose, option: str) -> None:
    cfg = composed(f"optimizer={option}", "learning_rate=0.25")
    build = Components(cfg).build("optimizer")
    first = parameters()
    optimizer = build(first)
    assert optimizer.param_groups[0]["lr"] == 0.25
    take_steps(optimizer, 2)
    assert not torch.equal(first[0], parameters()[0])
    second = [torch.nn.Parameter(value.detach().clone()) for value in first]
    resumed = build(second)
    resumed.load_state_dict(saved_and_loaded(optimizer.state_dict()))
    take_steps(optimizer, 3)
    take_steps(resumed, 3)
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("option", options("scheduler"))
def test_scheduler_steps_and_goes_on_after_saving(composed: Compose, option: str) -> None:
    build = Components(composed(f"scheduler={option}")).build("scheduler")

    def start() -> tuple[torch.optim.Optimizer, Any]:
        optimizer = torch.optim.SGD(parameters(), lr=0.1)
        return optimizer, build(optimizer)

    def rates(optimizer: torch.optim.Optimizer, scheduler: Any, count: int) -> list[float]:
        found = []
        for _ in range(count):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return found

    whole = rates(*start(), 100)
    assert all(rate >= 0 for rate in whole)
    assert (len(set(whole)) > 1) is (option != "none")
    optimizer, scheduler = start()
    rates(optimizer, scheduler, 40)
    resumed_optimizer, resumed = start()
    resumed_optimizer.load_state_dict(saved_and_loaded(optimizer.state_dict()))
    resumed.load_state_dict(saved_and_loaded(scheduler.state_dict()))
    assert rates(resumed_optimizer, resumed, 60) == whole[40:]


@pytest.mark.parametrize("option", options("loss"))
def test_loss_has_a_gradient(composed: Compose, option: str) -> None:
    criterion = build_criterion(Components(composed(f"loss={option}")), [30, 10])
    logits = torch.randn(4, 2, requires_grad=True)
    loss = criterion(logits, torch.tensor([0, 1, 1, 0]))
    assert loss.ndim == 0
    assert loss > 0
    torch.autograd.backward(loss)
    assert logits.grad is not None
    assert logits.grad.abs().sum() > 0


@pytest.mark.parametrize(("group", "option"), GROUP_OPTIONS)
def test_repeats_no_default(group: str, option: str) -> None:
    """A default lives in the dataclass, once; the file holds what differs."""
    own = OmegaConf.to_container(OmegaConf.load(CONF / group / f"{option}.yaml"))
    assert isinstance(own, dict)
    found = re.fullmatch(rf"/schema/{group}/(\w+)@_here_", own.pop("defaults")[0])
    if found is None:  # another name for an option of the same group
        return
    defaults = OmegaConf.to_container(OmegaConf.structured(GROUPS[group][0][found[1]]))
    assert isinstance(defaults, dict)
    assert [key for key, value in own.items() if value == defaults.get(key)] == []
