"""The search of our own application, with real (small) trainings."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from PIL import Image

from pochitrain.cli.app import run_app
from pochitrain.cli.optimize import search_arguments
from pochitrain.engine.callback import Callback
from pochitrain.error import ConfigError, PochiError
from pochitrain.sweep.storage import open_storage

Search = Callable[..., Path]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, dark and bright, 10 images each."""
    root = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for name, level in (("bright", 200), ("dark", 50)):
        (root / name).mkdir()
        for i in range(10):
            noise = random.integers(-40, 40, (24, 24, 3))
            Image.fromarray((level + noise).astype("uint8")).save(root / name / f"{i}.png")
    return root


@pytest.fixture
def search(dataset: Path, tmp_path: Path) -> Search:
    """Runs a search and gives its directory."""

    def run(*words: str, option: str = "default", expected: str = "optuna_results") -> Path:
        common = [
            "data=folder",
            f"data.train_root={dataset}",
            "data.val_fraction=0.3",
            "transform=minimal",
            "model=torchvision",
            "model.name=squeezenet1_1",
            f"work_dir={tmp_path}/out",
            "optuna.optuna_epochs=2",
            "data.num_workers=0",
        ]
        run_app(["--multirun", f"optuna={option}", *common, *words], "train.py")
        return tmp_path / "out" / expected

    return run


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / f"{name}.json").read_text())


@pytest.mark.slow
def test_results_of_a_search(search: Search, capsys: pytest.CaptureFixture[str]) -> None:
    folder = search("optuna.n_trials=3", "epochs=7", "optuna.pruner=null")
    best = read(folder, "best_params")
    history = read(folder, "trials_history")
    statistics = read(folder, "study_statistics")
    assert set(best["best_params"]) == {"learning_rate", "batch_size", "optimizer"}
    assert best["best_params"]["optimizer"] in ("SGD", "Adam", "AdamW")
    assert best["best_params"]["batch_size"] in (16, 32)
    assert [row["number"] for row in history] == [0, 1, 2]
    assert {row["state"] for row in history} == {"COMPLETE"}
    assert best["best_value"] == max(row["value"] for row in history)
    assert statistics["statistics"]["best"] == best["best_value"]
    assert statistics["statistics"]["n_completed"] == 3
    for row in history:
        trial = folder / f"trial_{row['number']:04d}"
        column = [line.split(",")[5] for line in metrics(trial)]
        assert row["value"] == max(map(float, column)), "the value is the best epoch's"
        assert "epoch 2/2" in (trial / "output.log").read_text()
    for name in ("optimization_history", "param_importances", "contour"):
        page = (folder / f"{name}.html").read_text()
        assert '<script charset="utf-8" src="plotly.min.js"' in page.replace("'", '"')
        assert "https://cdn" not in page and len(page) < 100_000
    assert (folder / "plotly.min.js").stat().st_size > 1_000_000
    assert "Best of 3 completed trials" in capsys.readouterr().out


def metrics(folder: Path) -> list[str]:
    return (folder / "training_metrics.csv").read_text().splitlines()[1:]


def compose(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["train.py"])
        run_app(["--cfg", "job", "--resolve", *words], "train.py")
    import yaml

    tree = yaml.safe_load(capsys.readouterr().out)
    assert isinstance(tree, dict)
    return tree


def test_the_optimized_experiment_is_the_best_trial_at_full_length(
    search: Search, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = search("optuna.n_trials=2", "epochs=7")
    best = read(folder, "best_params")["best_params"]
    tree = compose(capsys, "--config-dir", str(folder), "experiment=optimized")
    assert tree["epochs"] == 7
    assert tree["learning_rate"] == best["learning_rate"]
    assert tree["batch_size"] == best["batch_size"]
    assert tree["optimizer"]["_target_"] == f"torch.optim.{best['optimizer']}"
    assert not tree["optuna"]["enabled"]
    scope: dict[str, Any] = {}
    exec((folder / "optimized_config.py").read_text(), scope)
    assert scope["optimizer"] == best["optimizer"] and scope["epochs"] == 7


@pytest.mark.slow
def test_a_stored_search_goes_on_where_it_was(search: Search, tmp_path: Path) -> None:
    storage = f"optuna.storage=sqlite:///{tmp_path}/study.db"
    folder = search("optuna.n_trials=2", storage)
    before = {path: path.stat().st_mtime_ns for path in folder.glob("trial_*/models/*")}
    assert search("optuna.n_trials=3", storage) == folder
    assert not (folder.parent / "optuna_results_002").exists()
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert [row["number"] for row in read(folder, "trials_history")] == [0, 1, 2]
    search("optuna.n_trials=1", expected="optuna_results_002")


@pytest.mark.slow
def test_minimize_takes_the_lowest_validation_loss(search: Search) -> None:
    folder = search("optuna.n_trials=2", "optuna.direction=minimize", "optuna.pruner=null")
    for row in read(folder, "trials_history"):
        losses = [
            float(line.split(",")[4]) for line in metrics(folder / f"trial_{row['number']:04d}")
        ]
        assert row["value"] == min(losses)
    assert read(folder, "study_statistics")["direction"] == "minimize"


@pytest.mark.slow
def test_repeats_are_averaged(search: Search) -> None:
    folder = search("optuna.n_trials=1", "optuna.repeats=2", "seed=5")
    (row,) = read(folder, "trials_history")
    values, seeds = [], []
    for repeat in range(2):
        run = folder / "trial_0000" / f"repeat_{repeat}"
        values.append(max(float(line.split(",")[5]) for line in metrics(run)))
        seeds.append(json.loads((run / "environment.json").read_text())["seed"])
    assert row["value"] == pytest.approx(sum(values) / 2)
    assert seeds == [5, 6]


class KillSGD(Callback):
    """A machine without memory for one of the choices: the kernel kills the process."""

    def on_epoch_end(self, state: Any) -> None:
        if type(state.optimizer).__name__ == "SGD":
            os.kill(os.getpid(), 9)


def test_a_range_of_the_command_line_replaces_the_space_s(search: Search) -> None:
    """Its values go to the job as they are, not as the choices that the config had there."""
    folder = search(
        "optuna.n_trials=1", "optimizer=adam,adamw", "batch_size=8,4", "learning_rate=0.002,0.003"
    )
    (row,) = read(folder, "trials_history")
    overrides = (folder / "trial_0000" / ".hydra" / "overrides.yaml").read_text()
    assert set(row["params"]) == {"optimizer", "batch_size", "learning_rate"}
    for name, value in row["params"].items():
        assert f"- {name}={value}\n" in overrides
    assert row["params"]["batch_size"] in (8, 4)


@pytest.mark.slow
def test_two_at_a_time_and_a_worker_that_dies(search: Search, tmp_path: Path) -> None:
    target = "tests.search.test_search.KillSGD"
    folder = search(
        "optuna.n_jobs=2",
        "optuna.n_trials=4",
        "optuna.max_failure_rate=1.0",
        "optuna.sampler=GridSampler",
        "optuna.search_space.learning_rate=null",
        "optuna.search_space.batch_size.choices=[8,16]",
        "optuna.search_space.optimizer.choices=[SGD,AdamW]",
        f"+callbacks.kill._target_={target}",
        f"allow_targets=[{target}]",
    )
    rows = {row["number"]: row for row in read(folder, "trials_history")}
    assert len(rows) == 4
    for row in rows.values():
        killed = row["params"]["optimizer"] == "SGD"
        assert row["state"] == ("FAIL" if killed else "COMPLETE")
        assert not killed or "SIGKILL" in row["reason"]
    assert (folder / "optuna.journal").exists(), "pruning in workers needs a storage they reach"


def test_a_search_whose_trials_fail_stops_with_the_reason(search: Search) -> None:
    with pytest.raises(PochiError, match="SGD is not for us"):
        search(
            "optuna.n_trials=5",
            "+callbacks.refuse._target_=tests.search.test_search.Refuse",
            "allow_targets=[tests.search.test_search.Refuse]",
        )


def test_one_bad_trial_at_the_start_does_not_end_a_search(search: Search) -> None:
    RefuseOnce.refused = False
    folder = search(
        "optuna.n_trials=3",
        "+callbacks.refuse._target_=tests.search.test_search.RefuseOnce",
        "allow_targets=[tests.search.test_search.RefuseOnce]",
    )
    states = [row["state"] for row in read(folder, "trials_history")]
    assert states[0] == "FAIL" and len(states) == 3
    assert "FAIL" not in states[1:]


class RefuseOnce(Callback):
    refused = False

    def on_epoch_end(self, state: Any) -> None:
        if not RefuseOnce.refused:
            RefuseOnce.refused = True
            raise RuntimeError("a bad draw")


class Refuse(Callback):
    def on_epoch_end(self, state: Any) -> None:
        raise RuntimeError("SGD is not for us")


SPACE = "+optuna.search_space"
WRONG = {
    "optuna.search_space={seed: 1}": r"^optuna.search_space.seed .* write \+optuna.search_space=",
    "optuna.search_space=null": "optuna.search_space must hold the parameters to search, got",
    "optuna.sampler=TPE": "optuna.sampler must be one of TPESampler, .* got 'TPE'",
    "optuna.storage=study.db": "optuna.storage must be a URL, got 'study.db'",
    "optuna.sampler=GridSampler": "learning_rate.step must be given with GridSampler",
    "optuna.search_space.learning_rate.high=3.0": r"\(those with learning_rate=3.0\): learn",
    "optuna.search_space.optimizer.choices=[Lion]": "options of the group .adam, adamw.*Lion",
    f"{SPACE}.learning_rat={{type:float,low:0.1,high:0.5}}": "Did you mean learning_rate",
    f"{SPACE}.scheduler_gamma={{type:float,low:0.1,high:0.9}}": "cannot be searched .*gamma",
    "learning_rate=interval(1.0,0.1)": r"=interval\(1.0,0.1\) cannot be searched: `low",
    "optuna.search_space.batch_size.choices=[a,2]": "batch_size=a.* to Integer$",
    f"{SPACE}.optimizer.weight_decay={{type:float,low:0.1,high:0.5}}": "weight_decay=interval",
    f"{SPACE}.data.val_fraction={{type:float,low:0.1,high:0.5}}": "val_fraction=interval",
    "data.val_fraction=interval(0.1,0.5)": "data.val_fraction of .* must be a hyper-parameter",
    "data.seed=0,1": "data.seed of the command line must be a hyper-parameter",
    "hydra.sweeper.direction=[minimize,maximize]": r"what optuna.direction says \(max",
    "epochs=0": "^epochs must be an integer >= 1, got 0",
    "data.val_fraction=null": "^data.val_root must be given for a search, got null",
    "data.train_root=nowhere": "^data.train_root must be a folder",
    "optuna.custom_search_space=os.system": "allow_targets=.os.system.",
    f"{SPACE}.work_dir={{type:categorical,choices:[a,b]}}": "work_dir must be a hyper-parameter",
    "device=cpu,cuda": "^device of the command line must be a hyper-parameter, got 'device'",
    "optuna.storage=postgresql://u:s3cret@127.0.0.1:1/db": r"^optuna.storage .*u:\*\*\*@127",
    "optuna.storage=typo/s.journal": "^optuna.storage must be a file in a folder that exists",
    "seed=range(0,-5)": "^seed=range.* cannot be searched: .* at least one value",
    "hydra.sweeper.application._target_=os.getcwd": "not in the Hydra execution whitelist",
}


@pytest.mark.parametrize("word", WRONG)
def test_wrong_settings_are_refused_before_the_first_trial(
    word: str, search: Search, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=WRONG[word]):
        search(word)
    assert not list(tmp_path.iterdir())
    assert "Results:" not in capsys.readouterr().out, "there are none"


def test_a_command_line_that_fixes_the_whole_space_is_refused(search: Search) -> None:
    fixed = ("learning_rate=0.1", "++batch_size=16", "optimizer=adam")
    with pytest.raises(ConfigError, match=r"fixes all of them: learning_rate=0.1 \+\+batch_size"):
        search(*fixed)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("add_y", r"^optuna.custom_search_space=tests.* failed: KeyError: 'x'"),
        ("clash_with_z", "^Could not override 'z'. Key 'z' .*custom_search_space"),
    ],
)
def test_a_space_of_one_s_own_that_cannot_work(
    function: str, message: str, search: Search, tmp_path: Path
) -> None:
    path = f"tests.sweep.sphere.{function}"
    with pytest.raises(ConfigError, match=message):
        search(f"optuna.custom_search_space={path}", f"allow_targets=[{path}]")
    assert not list(tmp_path.iterdir())


def test_a_single_run_with_a_search_option_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs --multirun"):
        run_app(["optuna=default"], "train.py")


def test_showing_the_config_of_a_multirun_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match=r"^--multirun cannot be combined with --cfg"):
        run_app(["--multirun", "optuna=default", "--cfg", "job"], "train.py")


def test_an_option_without_search_stays_hydra_s_grid(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_app(["--cfg", "hydra", "-p", "hydra.sweeper"], "train.py")
    assert "BasicSweeper" in capsys.readouterr().out


def test_arguments_of_pochi_optimize() -> None:
    assert search_arguments([]) == ["--multirun", "optuna=default"]
    assert search_arguments(["--cfg", "job"]) == ["optuna=default", "--cfg", "job"]
    assert search_arguments(["optuna=grid", "--output", "a b"]) == [
        "--multirun",
        "hydra.sweep.dir='a b'",
        "optuna=grid",
    ]
    assert search_arguments(["--config=F.py", "epochs=3"])[:3] == [
        "--multirun",
        "--config",
        "F.py",
    ]
    assert search_arguments(["--cfg", "job"]) == ["optuna=default", "--cfg", "job"]
    with pytest.raises(ConfigError, match="--output must be followed by a path"):
        search_arguments(["--output"])


def test_the_study_has_the_person_s_names(search: Search, tmp_path: Path) -> None:
    url = f"journal://{tmp_path}/s.log"
    search("optuna.n_trials=1", f"optuna.storage={url}")
    study = optuna.load_study(study_name="pochitrain_optimization", storage=open_storage(url))
    assert study.trials[0].params["optimizer"] in ("SGD", "Adam", "AdamW")
    assert list(study.trials[0].intermediate_values) == [1, 2]
