"""Names that Hydra, its plugins and Optuna do not promise to keep; each test names what broke."""

import inspect
import pickle
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import hydra._internal.hydra
import optuna
import pytest
from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, RunMode
from omegaconf import OmegaConf, open_dict
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

import pochitrain
from pochitrain.config.registry import register_config
from pochitrain.config.root import GROUPS
from pochitrain.paths import config_directory
from pochitrain.sweep import private_api
from pochitrain.sweep.sampler import ResumableGridSampler

PACKAGE = Path(pochitrain.__file__).parent


def test_hydra_basic_launcher_and_sweeper() -> None:
    plugins = Plugins.instance()
    names = {f"{kind.__module__}.{kind.__name__}" for kind in plugins.discover(Launcher)}
    assert private_api.BASIC_LAUNCHER in names, "Hydra's BasicLauncher was moved or renamed"
    assert private_api.LAUNCHER_LOGS[0] == private_api.BASIC_LAUNCHER.rpartition(".")[0]
    assert private_api.BasicSweeper in plugins.discover(Sweeper), "Hydra's BasicSweeper"
    source = inspect.getsource(private_api.BasicSweeper.sweep)
    assert "self.validate_batch_is_legal(" in source, "BasicSweeper no longer checks its batches"
    assert '"multirun.yaml"' in source, "BasicSweeper writes another file"


def test_hydra_job_return() -> None:
    error = RuntimeError("x")
    job = private_api.failed_job(["a=1"], error)
    assert job.status == JobStatus.FAILED, "JobReturn.status"
    assert private_api.job_result(job) is error, "JobReturn._return_value"
    done = JobReturn(status=JobStatus.COMPLETED)
    done.return_value = 3
    assert private_api.job_result(done) == 3, "JobReturn._return_value"


JOBS = [
    ["learning_rate=0.01", "optimizer=sgd"],
    ["learning_rate=0.02", "optimizer=sgd", "optimizer.momentum=0.5"],
    ["scheduler=steplr", "scheduler.gamma=0.3", "data=folder", "data.train_root=x"],
    ["learning_rate=0.01", "optimizer=sgd"],
    ["++model.extra=1", "++callbacks.x={_target_: y}", "~callbacks.x"],
]


def test_hydra_config_loader_remembers_without_changing_what_it_composes() -> None:
    register_config()
    with initialize_config_dir(str(config_directory())):
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration("config", ["seed=3"], RunMode.MULTIRUN)
        context = HydraContext(loader, Callbacks())
        remembering = private_api.remember_composition(context).config_loader
        assert isinstance(remembering, private_api.RememberingLoader), (
            "ConfigLoaderImpl was renamed"
        )
        for overrides in JOBS:
            expected = loader.load_sweep_config(config, overrides)
            found = remembering.load_sweep_config(config, overrides)
            assert OmegaConf.structural_equality(found, expected), overrides
            assert OmegaConf.to_yaml(found) == OmegaConf.to_yaml(expected), overrides
            with open_dict(found):  # a job may change its config
                found.optimizer = {"lr": 7}
        combinations = len({tuple(w for w in job if w.partition("=")[0] in GROUPS) for job in JOBS})
        assert len(remembering.composed) == combinations, "the loader calls other methods"
        with pytest.raises(HydraException, match="nosuch"):
            remembering.load_sweep_config(config, ["optimizer.nosuch=1"])
        copied = pickle.loads(pickle.dumps(remembering))
        assert copied.composed == copied.repositories == {}, "launchers pickle it for every job"


def describe(node: Any, parent: Any = None) -> Any:
    """Everything that composing decides about a node, and about those below it."""
    assert node._get_parent() is parent
    fields = vars(node._metadata)
    value = node._value()
    if isinstance(value, dict):
        value = {key: describe(child, node) for key, child in value.items()}
    elif isinstance(value, list):
        value = [describe(child, node) for child in value]
    return type(node), fields, value


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
    monkeypatch.setattr(hydra._internal.hydra, "ConfigLoaderImpl", ConfigLoaderImpl)
    trees = []
    for _ in range(2):
        with initialize_config_dir(str(config_directory())):
            loader = GlobalHydra.instance().config_loader()
            for mode in (RunMode.RUN, RunMode.MULTIRUN):  # the second time nothing may be left over
                tree = loader.load_configuration("config", words, mode)
                trees.append((type(loader).__name__, describe(tree), OmegaConf.to_yaml(tree)))
        private_api.compose_quickly()
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
        private_api.compose_quickly()
    assert messages[0] == messages[1]


def test_hydra_aliases_that_have_to_be_parsed(tmp_path: Path) -> None:
    private_api.compose_quickly()
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
    assert not private_api.register_plugins(every=False), "there are already more"
    del Singleton._instances[Plugins]
    assert private_api.register_plugins(every=False)
    own = {kind.__name__ for kind in Plugins.instance().discover()}
    assert {"BasicLauncher", "BasicSweeper", "FileConfigSource"} <= own < every
    assert not private_api.register_plugins(every=False)
    assert private_api.register_plugins(every=True)
    assert {kind.__name__ for kind in Plugins.instance().discover()} >= every - {
        "WholeBasicSweeper"
    }
    assert not private_api.register_plugins(every=True)


def test_other_hydra_plugins_are_always_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not private_api.has_other_plugins()
    other = EntryPoint("x", "theirs.plugin:SearchPath", "hydra.plugins")
    monkeypatch.setattr(private_api, "entry_points", lambda group: [other])
    assert private_api.has_other_plugins()


def test_joblib_launcher_execute_job() -> None:
    from hydra_plugins.hydra_joblib_launcher._core import execute_job

    assert list(inspect.signature(execute_job).parameters) == [
        "idx",
        "overrides",
        "hydra_context",
        "config",
        "task_function",
        "task_function_unwrap_depth",
        "singleton_state",
        "wrap_result",
    ], "execute_job of the joblib launcher takes other arguments"


def test_stock_sweeper_create_params_from_overrides() -> None:
    words = ["a=interval(0.0,1.0)", "b=1,2", "c=range(0,3)", "d=5", "~e"]
    distributions, fixed, deletions = private_api.parse_overrides(words)
    assert distributions == {
        "a": FloatDistribution(0.0, 1.0),
        "b": CategoricalDistribution([1, 2]),
        "c": IntDistribution(0, 2),
    }
    assert (fixed, deletions) == ({"d": "5"}, ["~e"])
    with pytest.raises(ValueError, match="at least one value"):
        private_api.parse_overrides(["a=range(0,-5)"])


def test_stock_sweeper_grid_choices() -> None:
    assert private_api.grid_values(IntDistribution(1, 5, step=2)) == [1, 3, 5]
    assert private_api.grid_values(FloatDistribution(0.0, 1.0, step=0.5)) == [0.0, 0.5, 1.0]
    assert private_api.grid_values(CategoricalDistribution(["a", None])) == ["a", None]
    with pytest.raises(ValueError, match="discrete"):
        private_api.grid_values(FloatDistribution(0.0, 1.0))


def test_optuna_trial_of_another_process() -> None:
    study = optuna.create_study()
    asked = study.ask()
    attached = private_api.attach_trial(study, asked.number)
    assert attached is not None, "FrozenTrial._trial_id or the constructor of optuna.Trial"
    attached.report(2.0, 1)
    assert study.trials[0].intermediate_values == {1: 2.0}, "Trial(study, trial_id).report"
    study.tell(asked, 1.0)
    assert private_api.attach_trial(study, asked.number) is None


def test_optuna_attribute_of_a_recorded_trial() -> None:
    study = optuna.create_study()
    study.ask()
    (frozen,) = study.get_trials(states=(TrialState.RUNNING,))
    private_api.set_user_attribute(study, frozen, "why", "x")
    assert study.trials[0].user_attrs == {"why": "x"}, "Study._storage or FrozenTrial._trial_id"


def test_optuna_grid_sampler() -> None:
    sampler = ResumableGridSampler({"x": [1, 2], "y": ["a"]}, seed=0)
    space, size = private_api.grid_of(sampler)
    assert dict(space) == {"x": [1, 2], "y": ["a"]}, "GridSampler._search_space"
    assert size == 2, "GridSampler._all_grids"
    study = optuna.create_study(sampler=sampler)
    trial = study.ask({"x": CategoricalDistribution([1, 2]), "y": CategoricalDistribution(["a"])})
    frozen = study.trials[0]
    point = private_api.read_grid_point(frozen, space)
    assert point == 0, "GridSampler keeps its points in other system attributes"
    assert private_api.has_fixed_parameters(frozen)
    assert trial.params == dict(zip(("x", "y"), sampler._all_grids[0], strict=True))
    assert private_api.read_grid_point(frozen, {"x": [3]}) is None


def test_optuna_queued_trial() -> None:
    study = optuna.create_study()
    study.enqueue_trial({"x": 0.5})
    study.ask()
    assert private_api.has_fixed_parameters(study.trials[0]), "system attribute fixed_params"


PRIVATE = (
    "._all_grids",
    "._core import",
    "._get_node",
    "._impl",
    "._internal",
    "._return_value",
    "._search_space",
    "._storage",
    "._study_id",
    "._suggest",
    "._trial_id",
)


@pytest.mark.parametrize("folder", ["sweep", "search"])
def test_nothing_private_is_used_elsewhere(folder: str) -> None:
    found: list[Any] = []
    for path in (PACKAGE / folder).glob("*.py"):
        text = path.read_text(encoding="utf-8")
        found += [(path.name, name) for name in PRIVATE if name in text]
    assert {name for name, _ in found} <= {"private_api.py"}, found


def test_the_core_knows_nothing_of_this_trainer() -> None:
    """It must serve any Hydra application."""
    for path in (PACKAGE / "sweep").glob("*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.lstrip().startswith(("from pochitrain", "import pochitrain")):
                module = line.split()[1].split(".")[1]
                assert module in ("sweep", "error", "text", "atomic"), f"{path.name}: {line}"
