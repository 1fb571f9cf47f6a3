"""Composing quickly gives what Hydra's own loader gives, and plugins are found where needed."""

from importlib.metadata import EntryPoint
from pathlib import Path

import hydra._internal.hydra
import pytest
from composed_tree import describe
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf

from pochitrain.config.registry import register_config
from pochitrain.paths import config_directory
from pochitrain.sweep import private_loader

CHOICES = [
    [],
    ["data=folder", "data.train_root=x", "transform=modern", "learning_rate=0.5"],
    ["model=timm", "model.name=x", "optimizer=sgd", "scheduler=multisteplr", "loss=manual"],
    ["model=efficientnet_lite0", "layer_wise_lr=resnet", "strategy=probe_finetune"],
    ["optuna=default", "hydra/launcher=joblib", "hydra/sweeper=optuna"],
    ["optuna=hyperband", "hydra/sweeper/sampler=cmaes", "hydra/help=pochitrain"],
    *([f"experiment={path.stem}"] for path in config_directory().glob("experiment/*.yaml")),
    ["seed=3", "scheduler_gamma=0.5", "scheduler=steplr", "++model.extra=1"],
    ["+optimizer@callbacks.a=sgd", "+optimizer@callbacks.b=sgd"],
]


@pytest.mark.parametrize("words", CHOICES, ids=" ".join)
def test_hydra_config_loader_composes_quickly_what_it_composes(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    register_config()
    private_loader.register_plugins(every=True)  # whatever a test before this one has left
    monkeypatch.setattr(hydra._internal.hydra, "ConfigLoaderImpl", ConfigLoaderImpl)
    trees = []
    for _ in range(2):
        with initialize_config_dir(str(config_directory())):
            loader = GlobalHydra.instance().config_loader()
            for mode in (RunMode.RUN, RunMode.MULTIRUN):  # the second time nothing may be left over
                tree = loader.load_configuration("config", words, mode)
                trees.append((type(loader).__name__, describe(tree), OmegaConf.to_yaml(tree)))
        private_loader.compose_quickly()
    names = [name for name, *_ in trees]
    assert names == ["ConfigLoaderImpl", "ConfigLoaderImpl", "QuickLoader", "QuickLoader"]
    assert [rest for _, *rest in trees[:2]] == [rest for _, *rest in trees[2:]]


@pytest.mark.parametrize(
    "words",
    [["optimizer=nosuch"], ["nosuch=1"], ["experiment=wrong_type"], ["experiment=wrong_key"]],
    ids=" ".join,
)
def test_hydra_config_loader_finds_mistakes_quickly_as_it_does(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_config()
    monkeypatch.setattr(hydra._internal.hydra, "ConfigLoaderImpl", ConfigLoaderImpl)
    folder = tmp_path / "experiment"
    folder.mkdir()
    (folder / "wrong_type.yaml").write_text("# @package _global_\nmodel: {pretrained: [1]}\n")
    (folder / "wrong_key.yaml").write_text("# @package _global_\nmodel: {nosuch: 1}\n")
    words = [*words, f"hydra.searchpath=[file://{tmp_path}]"]
    messages = []
    for _ in range(2):
        with initialize_config_dir(str(config_directory())):
            loader = GlobalHydra.instance().config_loader()
            with pytest.raises(HydraException) as found:
                loader.load_configuration("config", words, RunMode.RUN)
            messages.append((type(found.value), str(found.value), str(found.value.__cause__)))
        private_loader.compose_quickly()
    assert messages[0] == messages[1]


def test_hydra_aliases_that_have_to_be_parsed(tmp_path: Path) -> None:
    private_loader.compose_quickly()
    (tmp_path / "plain.yaml").write_text("{a: {b: 1}, hydra: {aliases: {x: a.b}}}")
    (tmp_path / "parsed.yaml").write_text("{a: {b: 1}, hydra: {aliases: {'x, y': a.b=5}}}")
    (tmp_path / "wrong.yaml").write_text("{a: {b: 1}, hydra: {aliases: {x: +a.b}}}")
    with initialize_config_dir(str(tmp_path)):
        loader = GlobalHydra.instance().config_loader()
        assert loader.load_configuration("plain", ["x=3"], RunMode.RUN).a.b == 3
        assert loader.load_configuration("parsed", ["y"], RunMode.RUN).a.b == 5
        with pytest.raises(HydraException, match="cannot have an operator"):
            loader.load_configuration("wrong", ["x=3"], RunMode.RUN)


def test_hydra_plugins_are_found_when_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Singleton._instances, Plugins, Plugins.instance())
    every = {kind.__name__ for kind in Plugins.instance().discover()}
    assert not private_loader.register_plugins(every=False), "there are already more"
    del Singleton._instances[Plugins]
    assert private_loader.register_plugins(every=False)
    own = {kind.__name__ for kind in Plugins.instance().discover()}
    assert {"BasicLauncher", "BasicSweeper", "FileConfigSource"} <= own < every
    assert not private_loader.register_plugins(every=False)
    assert private_loader.register_plugins(every=True)
    assert {kind.__name__ for kind in Plugins.instance().discover()} >= every - {
        "WholeBasicSweeper"
    }
    assert not private_loader.register_plugins(every=True)


def test_other_hydra_plugins_are_always_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not private_loader.has_other_plugins()
    other = EntryPoint("x", "theirs.plugin:SearchPath", "hydra.plugins")
    monkeypatch.setattr(private_loader, "entry_points", lambda group: [other])
    assert private_loader.has_other_plugins()
