"""The sweeper in an application of somebody else's, with the stock plugin's config."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import optuna
import pytest
from omegaconf import OmegaConf

from pochitrain.error import ConfigError
from pochitrain.sweep.application import load_allowed
from pochitrain.sweep.storage import open_storage, require_reachable, resolve_storage
from pochitrain.sweep.trial_task import StudyAddress
from tests.sweep.sphere import run_sphere

SPACE = ("x=interval(-5.0,5.0)", "y=interval(-5.0,5.0)")


def sweep(folder: Path, *words: str, sampler: str = "random", **settings: Any) -> dict[str, Any]:
    """Run a sweep and read optimization_results.yaml."""
    run_sphere(
        "hydra/sweeper=pochi",
        f"hydra/sweeper/sampler={sampler}",
        f"hydra.sweep.dir={folder}",
        *(f"hydra.sweeper.{key}={value}" for key, value in settings.items()),
        *words,
    )
    results = OmegaConf.to_container(OmegaConf.load(folder / "optimization_results.yaml"))
    assert isinstance(results, dict)
    return {str(key): value for key, value in results.items()}


def load(folder: Path, name: str = "s") -> optuna.Study:
    return optuna.load_study(study_name=name, storage=open_storage(f"journal://{folder}/s.log"))


def states(study: optuna.Study) -> list[str]:
    return [trial.state.name for trial in study.trials]


def test_results_of_the_stock_plugin(tmp_path: Path) -> None:
    found = sweep(tmp_path, *SPACE, "z=b", n_trials=5, n_jobs=1, **{"sampler.seed": 1})
    assert found["name"] == "optuna"
    params = found["best_params"]
    assert set(params) == {"x", "y"}
    assert found["best_value"] == pytest.approx(params["x"] ** 2 + params["y"] ** 2)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == list("01234")


def test_same_seed_gives_the_stock_plugin_s_trials(tmp_path: Path) -> None:
    ours = sweep(
        tmp_path / "a", *SPACE, sampler="tpe", n_trials=12, n_jobs=1, **{"sampler.seed": 3}
    )
    run_sphere(
        "hydra/sweeper=optuna",
        f"hydra.sweep.dir={tmp_path / 'b'}",
        "hydra.sweeper.sampler.seed=3",
        "hydra.sweeper.n_trials=12",
        "hydra.sweeper.n_jobs=1",
        *SPACE,
    )
    stock = OmegaConf.load(tmp_path / "b" / "optimization_results.yaml")
    assert ours == OmegaConf.to_container(stock)


def test_a_bad_trial_is_pruned_and_never_the_best(tmp_path: Path) -> None:
    sweep(
        tmp_path,
        *SPACE,
        n_trials=15,
        n_jobs=1,
        study_name="s",
        storage=f"journal://{tmp_path}/s.log",
        **{"sampler.seed": 1},
    )
    study = load(tmp_path)
    pruned = [trial for trial in study.trials if trial.state.name == "PRUNED"]
    assert pruned and states(study).count("COMPLETE") + len(pruned) == 15
    assert all(len(trial.intermediate_values) < 4 for trial in pruned)


def test_a_raised_trial_pruned_is_no_failure(tmp_path: Path) -> None:
    settings = {"study_name": "s", "storage": f"journal://{tmp_path}/s.log", "sampler.seed": 1}
    sweep(tmp_path, *SPACE, "raise_pruned=true", n_trials=15, n_jobs=1, **settings)
    assert set(states(load(tmp_path))) == {"COMPLETE", "PRUNED"}


def test_pruner_none_never_prunes(tmp_path: Path) -> None:
    settings = {"study_name": "s", "storage": f"journal://{tmp_path}/s.log", "sampler.seed": 1}
    sweep(tmp_path, *SPACE, "hydra/sweeper/pruner=nop", n_trials=15, n_jobs=1, **settings)
    assert set(states(load(tmp_path))) == {"COMPLETE"}


def test_a_second_run_goes_on_to_the_total(tmp_path: Path) -> None:
    settings = {"n_jobs": 1, "study_name": "s", "storage": f"journal://{tmp_path}/s.log"}
    sweep(tmp_path, *SPACE, n_trials=3, **settings, **{"sampler.seed": 1})
    first = [trial.params for trial in load(tmp_path).trials]
    sweep(tmp_path, *SPACE, n_trials=5, **settings, **{"sampler.seed": 1})
    trials = load(tmp_path).trials
    assert len(trials) == 5
    assert [trial.params for trial in trials[:3]] == first
    assert trials[3].params not in first, "the sampler must not start again from its seed"
    sweep(tmp_path, *SPACE, n_trials=5, **settings)
    assert len(load(tmp_path).trials) == 5
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == set("01234")


def test_grid_visits_every_point_once(tmp_path: Path) -> None:
    settings = {"n_jobs": 1, "study_name": "s", "storage": f"journal://{tmp_path}/s.log"}
    words = ("x=1.0,2.0", "y=range(0,3)", "hydra/sweeper/pruner=nop")
    sweep(tmp_path, *words, sampler="grid", n_trials=4, **settings)
    found = sweep(tmp_path, *words, sampler="grid", n_trials=20, **settings)
    points = [(trial.params["x"], trial.params["y"]) for trial in load(tmp_path).trials]
    assert sorted(points) == [(x, y) for x in (1.0, 2.0) for y in (0, 1, 2)]
    assert found["best_value"] == 1.0


def test_grid_tries_a_failed_point_again(tmp_path: Path) -> None:
    settings = {"n_jobs": 1, "study_name": "s", "storage": f"journal://{tmp_path}/s.log"}
    words = ("x=1.0,2.0,3.0", "hydra/sweeper/pruner=nop")
    failing = (*words, "fail_above=2.5")
    sweep(tmp_path, *failing, sampler="grid", n_trials=3, max_failure_rate=1.0, **settings)
    assert states(load(tmp_path)).count("FAIL") == 1
    sweep(tmp_path, *words, sampler="grid", n_trials=3, **settings)
    done = [t.params["x"] for t in load(tmp_path).trials if t.state.name == "COMPLETE"]
    assert sorted(done) == [1.0, 2.0, 3.0]


def test_grid_over_a_continuous_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="discrete"):
        sweep(tmp_path, *SPACE, sampler="grid", n_trials=3, n_jobs=1)


def test_failures_stop_the_sweep_unless_they_are_allowed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="x is too large"):
        sweep(tmp_path / "a", *SPACE, "fail_above=-9", n_trials=4, n_jobs=1)
    settings = {"study_name": "s", "storage": f"journal://{tmp_path}/s.log", "sampler.seed": 1}
    words = (*SPACE, "fail_above=-3")
    sweep(tmp_path / "b", *words, n_trials=8, n_jobs=1, max_failure_rate=1.0, **settings)
    study = load(tmp_path)
    failed = [trial for trial in study.trials if trial.state.name == "FAIL"]
    assert 0 < len(failed) < 8 and len(study.trials) == 8
    assert failed[0].user_attrs["fail_reason"] == "RuntimeError: x is too large"


def test_the_failure_rate_is_that_of_a_batch(tmp_path: Path) -> None:
    """Stock: with two at a time, one failure is half of a batch, also as the very first trial."""
    words = ("x=-5.0,1.0", "hydra/sweeper/pruner=nop", "fail_above=0.0")
    settings = {"study_name": "s", "storage": f"journal://{tmp_path}/s.log", "n_trials": 2}
    sweep(tmp_path, *words, sampler="grid", n_jobs=2, max_failure_rate=0.5, **settings)
    assert sorted(states(load(tmp_path))) == ["COMPLETE", "FAIL"]


def test_nan_is_a_failure_with_a_reason(tmp_path: Path) -> None:
    settings = {"study_name": "s", "storage": f"journal://{tmp_path}/s.log"}
    with pytest.raises(ValueError, match="No trials are completed"):
        sweep(tmp_path, *SPACE, "nan=true", n_trials=2, n_jobs=1, max_failure_rate=1.0, **settings)
    study = load(tmp_path)
    assert states(study) == ["FAIL", "FAIL"]
    assert "NaN" in study.trials[0].user_attrs["fail_reason"]


def test_custom_search_space_is_conditional(tmp_path: Path) -> None:
    settings = {"study_name": "s", "storage": f"journal://{tmp_path}/s.log", "sampler.seed": 1}
    custom = "hydra.sweeper.custom_search_space=tests.sweep.sphere.add_y"
    sweep(tmp_path, SPACE[0], custom, n_trials=8, n_jobs=1, **settings)
    trials = load(tmp_path).trials
    assert {("y" in trial.params) == (trial.params["x"] > 0) for trial in trials} == {True}
    assert len({"y" in trial.params for trial in trials}) == 2


def test_custom_search_space_must_be_allowed_by_the_application(tmp_path: Path) -> None:
    custom = "hydra.sweeper.custom_search_space=os.path.join"
    with pytest.raises(ConfigError, match=r"that the application allows, got 'os.path.join'"):
        sweep(tmp_path, SPACE[0], custom, n_trials=1, n_jobs=1)
    assert not list(tmp_path.iterdir())


def test_an_application_without_an_allow_list_allows_no_function() -> None:
    with pytest.raises(ConfigError, match=r"execution_whitelist=\['tests.sweep.sphere.add_y'\]"):
        load_allowed("tests.sweep.sphere.add_y", None)


def test_fixed_and_searched_parameters_must_not_overlap(tmp_path: Path) -> None:
    custom = "hydra.sweeper.custom_search_space=tests.sweep.sphere.clash_with_z"
    with pytest.raises(ValueError, match=r"Overlapping.*z"):
        sweep(tmp_path, SPACE[0], "z=a", custom, n_trials=1, n_jobs=1)


def test_params_of_the_config_and_the_command_line(tmp_path: Path) -> None:
    params = "+hydra.sweeper.params={x:'interval(1.0,2.0)',y:'3.0'}"
    found = sweep(tmp_path, params, "x=5.0,6.0", n_trials=3, n_jobs=1)
    assert found["best_params"]["x"] in (5.0, 6.0)
    assert found["best_value"] == pytest.approx(found["best_params"]["x"] ** 2 + 9)


def test_two_objectives_give_the_pareto_front(tmp_path: Path) -> None:
    """x^2 and (x - 2)^2: from 0 to 2 no x is better at both than another; -1 and 3 are worse."""
    found = sweep(
        tmp_path,
        "x=-1.0,0.0,1.0,2.0,3.0",
        "two_objectives=true",
        "hydra.sweeper.direction=[minimize,minimize]",
        sampler="grid",
        n_trials=5,
        n_jobs=1,
    )
    front = {one["params"]["x"]: one["values"] for one in found["solutions"]}
    assert front == {0.0: [0.0, 4.0], 1.0: [1.0, 1.0], 2.0: [4.0, 0.0]}


def test_a_job_with_one_value_fails_in_a_search_with_two_objectives(tmp_path: Path) -> None:
    words = ("hydra.sweeper.direction=[minimize,maximize]", *SPACE)
    with pytest.raises(ValueError, match="Return value must be a list or tuple"):
        run_and_raise(tmp_path, *words)


def run_and_raise(folder: Path, *words: str) -> None:
    """The sphere has one objective, so every trial fails, and the reason is in the study."""
    settings = {"study_name": "s", "storage": f"journal://{folder}/s.log"}
    sweep(folder, *words, n_trials=1, n_jobs=1, max_failure_rate=1.0, **settings)
    raise ValueError(load(folder).trials[0].user_attrs["fail_reason"])


def test_memory_storage_reaches_other_processes_through_a_journal(tmp_path: Path) -> None:
    """Trials in joblib's workers report and are pruned although the storage is null."""
    sweep(
        tmp_path,
        "x=1.0,1.0,1.0,50.0",
        "y=range(0,40)",
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
        "hydra/sweeper/pruner=median",
        "hydra.sweeper.pruner.n_startup_trials=2",
        n_trials=8,
        n_jobs=2,
        **{"sampler.seed": 1},
    )
    facts = [json.loads(path.read_text()) for path in tmp_path.glob("*/facts.json")]
    assert len(facts) == 8 and len({fact["pid"] for fact in facts}) == 2
    (journal,) = tmp_path.glob("*.journal")
    backend = optuna.storages.journal.JournalFileBackend(str(journal))
    storage = optuna.storages.JournalStorage(backend)
    (study,) = optuna.get_all_study_summaries(storage)
    trials = optuna.load_study(study_name=study.study_name, storage=storage).trials
    assert "PRUNED" in {trial.state.name for trial in trials}


def test_an_application_of_its_own(tmp_path: Path) -> None:
    """Worker processes and quiet jobs without a line of this trainer."""
    application = "+hydra.sweeper.application._target_=tests.sweep.sphere.WorkerApplication"
    sweep(tmp_path, "x=1.0,2.0,3.0,4.0", application, sampler="grid", n_trials=4, n_jobs=2)
    facts = [json.loads(path.read_text()) for path in tmp_path.glob("*/facts.json")]
    assert len(facts) == 4 and len({fact["pid"] for fact in facts} | {os.getpid()}) == 3
    printed = {path.read_text() for path in tmp_path.glob("*/printed.txt")}
    assert printed == {"worker 0\n", "worker 1\n"}


def test_wrong_storage_and_changed_direction(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be a URL"):
        sweep(tmp_path, *SPACE, n_trials=1, n_jobs=1, storage="study")
    for url in (f"sqlite:///{tmp_path}/typo/s.db", f"{tmp_path}/typo/s.log"):
        with pytest.raises(ConfigError, match=r"^hydra.sweeper.storage must .*: mkdir -p .*typo$"):
            sweep(tmp_path, *SPACE, n_trials=1, n_jobs=1, storage=url)
    assert not list(tmp_path.iterdir())
    settings = {"n_jobs": 1, "study_name": "s", "storage": f"journal://{tmp_path}/s.log"}
    sweep(tmp_path, *SPACE, n_trials=1, **settings)
    with pytest.raises(ConfigError, match="must stay minimize"):
        sweep(tmp_path, *SPACE, "hydra.sweeper.direction=maximize", n_trials=2, **settings)


@pytest.mark.parametrize("url", ["sqlite:///:memory:", optuna.storages.InMemoryStorage()])
def test_jobs_in_other_processes_need_a_storage_that_they_reach(url: Any) -> None:
    with pytest.raises(ConfigError, match=r"^optuna.storage must be one that other .* in memory"):
        require_reachable(url, "optuna.storage")
    for fine in (None, "sqlite:////shared/s.db", "postgresql://user@host/database"):
        require_reachable(fine, "optuna.storage")


def test_a_sweep_in_other_processes_refuses_a_storage_in_memory(tmp_path: Path) -> None:
    words = (*SPACE, "hydra/launcher=joblib")
    with pytest.raises(ConfigError, match=r"^hydra.sweeper.storage must be one that other"):
        sweep(tmp_path / "out", *words, n_trials=1, n_jobs=1, storage="sqlite:///:memory:")
    assert not (tmp_path / "out").exists()


def test_a_machine_that_does_not_reach_the_study_is_named(tmp_path: Path) -> None:
    """A job there finds another file at the path of the storage, or none."""
    address = StudyAddress("token", storage=f"sqlite:///{tmp_path}/s.db", study_name="mine")
    with pytest.raises(ConfigError, match=f"where {socket.gethostname()} does not find .*'mine'"):
        address.find(0)
    address.storage = f"sqlite:///{tmp_path}/not/shared/s.db"
    with pytest.raises(ConfigError, match=r"every machine with .* \(.*unable to open .* file"):
        address.find(0)
    address.storage = f"journal://{tmp_path}/study.journal"
    with pytest.raises(ConfigError, match=r"'mine' \(it has no such study\)\. Use a folder"):
        address.find(0)


def test_a_storage_object_is_taken_as_it_is() -> None:
    storage = optuna.storages.InMemoryStorage()
    assert open_storage(resolve_storage(storage)) is storage
