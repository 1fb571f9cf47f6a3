"""Names that Hydra, its plugins and Optuna do not promise to keep; each test names what broke."""

import inspect
from pathlib import Path
from typing import Any

import optuna
import pytest
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

import pochitrain
from pochitrain.sweep import launcher_job, private_api, private_submitit
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


def test_submitit_launcher_and_its_jobs(tmp_path: Path) -> None:
    from submitit.local.local import LocalJob
    from submitit.slurm.slurm import SlurmInfoWatcher, SlurmJob

    plugins = Plugins.instance().discover(Launcher)
    kinds = {kind.__name__: launcher_job.kind_of(object.__new__(kind)) for kind in plugins}
    wanted = {"JoblibLauncher": "joblib", "SlurmLauncher": "submitit", "LocalLauncher": "submitit"}
    assert wanted.items() <= kinds.items(), "a launcher of Hydra was moved or renamed"
    watcher = SlurmInfoWatcher()
    watcher.register_job("1")
    assert watcher._registered - watcher._finished == {"1"}, "InfoWatcher._registered, _finished"
    source = inspect.getsource(SlurmInfoWatcher.update)
    assert "self._make_command()" in source and "self.read_info(" in source, "InfoWatcher.update"
    LocalJob(tmp_path, "123456789")
    assert 123456789 in private_submitit.submitted_jobs()[1], "jobs no longer register themselves"
    assert isinstance(SlurmJob.watcher, SlurmInfoWatcher), "SlurmJob.watcher"
    LocalJob.watcher._registered.discard("123456789")


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


def test_optuna_failing_a_recorded_trial() -> None:
    study = optuna.create_study()
    study.ask()
    (frozen,) = study.get_trials(states=(TrialState.RUNNING,))
    assert private_api.fail_running(study, frozen, "why", "x")
    assert study.trials[0].user_attrs == {"why": "x"}, "Study._storage or FrozenTrial._trial_id"
    assert study.trials[0].state == TrialState.FAIL
    assert not private_api.fail_running(study, frozen, "why", "y"), "only the first is told yes"


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
    assert private_api.QUEUED in study.trials[0].system_attrs
    assert private_api.has_fixed_parameters(study.trials[0]), "system attribute fixed_params"


FILES = {"private_api.py", "private_job.py", "private_loader.py", "private_submitit.py"}
PRIVATE = (
    "._all_grids",
    "._finished",
    "._registered",
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
    assert {name for name, _ in found} <= FILES, found


def test_the_core_knows_nothing_of_this_trainer() -> None:
    """It must serve any Hydra application."""
    for path in (PACKAGE / "sweep").glob("*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.lstrip().startswith(("from pochitrain", "import pochitrain")):
                module = line.split()[1].split(".")[1]
                assert module in ("sweep", "error", "text", "atomic"), f"{path.name}: {line}"
