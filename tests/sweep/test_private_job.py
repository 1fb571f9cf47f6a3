"""The jobs of a sweep are composed quickly to what Hydra's own loader composes."""

import itertools
import pickle
from pathlib import Path
from typing import Any

import pytest
from composed_tree import describe
from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from omegaconf import OmegaConf, open_dict, read_write

from pochitrain.config.registry import register_config
from pochitrain.paths import config_directory
from pochitrain.sweep import private_job
from pochitrain.sweep.private_loader import compose_quickly

JOBS = [
    ["learning_rate=0.01", "optimizer=sgd"],
    ["learning_rate=0.02", "optimizer=sgd", "optimizer.momentum=0.5"],
    ["scheduler=steplr", "scheduler.gamma=0.3", "data=folder", "data.train_root=x"],
    ["scheduler=steplr", "data=folder", "data.train_root=x", "scheduler.gamma=${learning_rate}"],
    ["learning_rate=0.01", "optimizer=sgd"],
    ["++model.extra=1", "++callbacks.x={_target_: y}", "~callbacks.x"],
    ["optimizer={lr: 5}", "optimizer.lr=3", "hydra.job.name=other"],
    ["model=resnet50", "experiment=accurate", "transform.size=64", "scheduler.milestones=[3]"],
    ["model=resnet50", "experiment=accurate", "transform.size=32"],
    ["+hydra.job.env_set.a=b", "seed=5", "model=efficientnet_lite0"],
]


@pytest.fixture
def loaders(tmp_path: Path) -> Any:
    """(Hydra's own loader, ours, the config of a sweep)"""
    register_config()
    compose_quickly()
    with initialize_config_dir(str(config_directory())):
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration("config", ["seed=3"], RunMode.MULTIRUN)
        context = HydraContext(loader, Callbacks())
        ours = private_job.remember_composition(context).config_loader
        assert isinstance(ours, private_job.RememberingLoader), "ConfigLoaderImpl was renamed"
        yield ConfigLoaderImpl(loader.config_search_path), ours, config


def test_hydra_config_loader_remembers_without_changing_what_it_composes(loaders: Any) -> None:
    stock, ours, config = loaders
    for overrides in JOBS:
        expected = stock.load_sweep_config(config, overrides)
        found = ours.load_sweep_config(config, overrides)
        assert describe(found) == describe(expected), overrides
        assert OmegaConf.to_yaml(found) == OmegaConf.to_yaml(expected), overrides
        with open_dict(found):  # a job may change its config
            found.optimizer = {"lr": 7}
    assert len(ours.composed) == 5, "one for each choice of options"
    assert ours.merged, "the loader calls other methods"
    copied = pickle.loads(pickle.dumps(ours))
    assert copied.composed == copied.repositories == copied.jobs == {}, "pickled for every job"


def test_hydra_config_loader_composes_jobs_without_hydra(loaders: Any) -> None:
    stock, ours, config = loaders
    for overrides in JOBS * 2:
        expected = stock.load_sweep_config(config, overrides)
        environment = expected.hydra.job.env_set
        with read_write(expected), open_dict(expected):
            del expected["hydra"]
        found, node = ours.load_job(config, overrides)
        assert describe(found) == describe(expected), overrides
        assert node.job.env_set == environment
        with open_dict(found):
            found.optimizer = {"lr": 7}
    assert len(ours.jobs) == 6, "values that are plain do not matter"


@pytest.mark.parametrize(
    "wrong",
    ["optimizer.nosuch=1", "epochs=abc", "+epochs=3", "model=nosuch", "~nosuch", "model=[a,b]"],
)
def test_hydra_config_loader_finds_mistakes_of_jobs_as_it_does(wrong: str, loaders: Any) -> None:
    stock, ours, config = loaders
    overrides = ["learning_rate=0.5", wrong]
    with pytest.raises((HydraException, ValueError)) as expected:
        stock.load_sweep_config(config, overrides)
    for load, _ in itertools.product((ours.load_sweep_config, ours.load_job), range(2)):
        with pytest.raises(type(expected.value)) as found:
            load(config, overrides)
        assert str(found.value) == str(expected.value)
        assert str(found.value.__cause__) == str(expected.value.__cause__)


def test_what_cannot_be_pickled_is_copied() -> None:
    original = {"a": [1], "f": lambda: 0}
    copies = private_job.Copies(original)
    first, second = copies.take(), copies.take()
    assert first == second == original
    assert first["a"] is not second["a"]
