"""A model within a time: the run is an ordinary one, and its command repeats it."""

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torchvision.models import resnet18

from pochitrain.cli.fit import overrides
from pochitrain.data.dataset import DataSplits
from pochitrain.engine.trainer import Trainer
from pochitrain.run.fit import cost, fit
from pochitrain.run.fit.fit import training_words
from pochitrain.run.fit.measure import Loading
from pochitrain.run.fit.pilot import Pilot
from pochitrain.run.fit.plan import Training
from pochitrain.run.fit.recompose import combine, complete_command, typed_value

COUNTS = {"dark": 20, "bright": 20}
SMALL = ["model=resnet18", "transform.size=64", "strategy.head_epochs=2", "work_dir=out"]


@pytest.fixture
def weights(tmp_path: Path) -> str:
    """A file of weights in place of a download."""
    torch.manual_seed(0)
    torch.save(resnet18().state_dict(), tmp_path / "weights.pth")
    return f"model.weights={tmp_path / 'weights.pth'}"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Costs as on a machine that needs 20 ms for a picture, without measuring them."""
    monkeypatch.setattr(cost, "time_forward", lambda model, px, precision: 0.02)
    monkeypatch.setattr(cost, "time_training", lambda cfg, parts: 0.06)
    monkeypatch.setattr(cost, "time_loading", lambda *parts: Loading(0.0, 0.0))
    monkeypatch.setattr(fit, "rehearse", lambda *parts: None)
    yield monkeypatch


def read_run(work_dir: Path) -> tuple[Any, bytes]:
    """Config and metrics of the only run."""
    (run,) = work_dir.iterdir()
    config = yaml.safe_load((run / "config.yaml").read_text())
    return config, (run / "training_metrics.csv").read_bytes()


def repeat(pochi: Callable[..., Any], out: str) -> None:
    """Type the command that a run printed, with another `work_dir`."""
    (line,) = [text for text in out.splitlines() if "without the clock" in text]
    words = shlex.split(line.partition(": ")[2].replace("work_dir=out", "work_dir=again"))
    start = words.index("train") + 1  # `uv run` stands in front where it was used
    assert words[start - 2] == "pochi"
    assert pochi(*words[start:], prog="pochi").code == 0


def test_a_short_time_gives_a_probe_and_the_command_that_repeats_it(
    pochi: Callable[..., Any],
    make_folder: Callable[..., Path],
    tmp_path: Path,
    weights: str,
    quick: pytest.MonkeyPatch,
) -> None:
    root = make_folder(tmp_path / "data", COUNTS)
    typed = ("model=resnet18", weights, "epochs=3", "transform.size=64")
    outcome = pochi(
        str(root), "--minutes", "0.1", "work_dir=out", *typed, command="fit", prog="pochi"
    )
    assert outcome.code == 0
    config, metrics = read_run(tmp_path / "out")
    assert config["strategy"]["name"] == "probe"
    assert config["budget"]["minutes"] is None
    assert config["data"]["val_fraction"] == 0.2
    assert (config["transform"]["size"], config["transform"]["fit"]) == (64, "crop")
    assert config["transform"]["val"][0]["size"] == 64  # the edges are not cut away

    repeat(pochi, outcome.out)
    other, same = read_run(tmp_path / "again")
    assert same == metrics
    assert {**other, "work_dir": "out"} == config


def test_all_layers_are_trained_where_they_do_better_on_held_out_training_pictures(
    pochi: Callable[..., Any],
    make_folder: Callable[..., Path],
    tmp_path: Path,
    weights: str,
    quick: pytest.MonkeyPatch,
) -> None:
    seen: list[DataSplits] = []
    values = iter([50.0, 75.0])

    def run_pilot(cfg: Any, data: DataSplits, *rest: Any) -> Pilot:
        seen.append(data)
        return Pilot(next(values), 1.0)

    quick.setattr(fit, "run_pilot", run_pilot)
    quick.setattr(fit, "MAX_EPOCHS", 2)
    quick.setattr("pochitrain.run.fit.plan.MIN_EPOCHS", 1)
    quick.setattr("pochitrain.run.fit.plan.MAX_EPOCHS", 3)
    root = make_folder(tmp_path / "data", COUNTS, side_px=48)
    words = ("model=resnet18", weights, "transform.size=64", "strategy.head_epochs=2")
    outcome = pochi(
        f"data.train_root={root}",
        "data=folder",
        "data.val_fraction=0.2",
        "strategy=budget",
        "budget.minutes=2",
        "work_dir=out",
        *words,
    )
    assert outcome.code == 0
    config, metrics = read_run(tmp_path / "out")
    assert config["strategy"]["name"] == "probe_finetune"
    assert config["strategy"]["head_epochs"] == 2
    assert len(metrics.splitlines()) == 1 + config["epochs"] == 3
    assert "last layer 50, all layers 75" in outcome.out
    # 16 of 20 of each class are for training; a fifth of them was held out, and no validation one.
    held = seen[0]
    assert (len(held.train), len(held.val or [])) == (26, 6)
    assert seen[1] is held


def test_a_comparison_keeps_the_statistics_of_batch_norm_as_the_run_does(
    pochi: Callable[..., Any],
    make_folder: Callable[..., Path],
    tmp_path: Path,
    weights: str,
    quick: pytest.MonkeyPatch,
) -> None:
    seen: list[list[str]] = []

    class Recorder(Trainer):
        def __init__(self, *parts: Any, **settings: Any) -> None:
            super().__init__(*parts, **settings)
            seen.append([type(callback).__name__ for callback in self.callbacks])

    quick.setattr("pochitrain.run.fit.pilot.Trainer", Recorder)
    quick.setattr("pochitrain.run.fit.plan.MIN_EPOCHS", 1)
    quick.setattr("pochitrain.run.fit.plan.MAX_EPOCHS", 1)
    quick.setattr(fit, "MAX_EPOCHS", 1)
    root = make_folder(tmp_path / "data", COUNTS, side_px=48)
    outcome = pochi(str(root), "--minutes", "2", *SMALL, weights, command="fit", prog="pochi")
    assert outcome.code == 0, outcome.err
    assert seen == [["Progress"], ["FreezeNorm", "Progress"]]  # the last layer, then all


def test_a_machine_that_became_slower_is_given_no_more_time(
    pochi: Callable[..., Any],
    make_folder: Callable[..., Path],
    tmp_path: Path,
    weights: str,
    quick: pytest.MonkeyPatch,
) -> None:
    values = iter([50.0, 75.0])
    quick.setattr(fit, "run_pilot", lambda *rest: Pilot(next(values), 0.01))
    quick.setattr(fit, "MAX_EPOCHS", 4)
    quick.setattr("pochitrain.run.fit.plan.MIN_EPOCHS", 1)
    root = make_folder(tmp_path / "data", COUNTS, side_px=48)
    quick.setattr(fit, "GRACE", -1.0)  # the time is up when training begins
    outcome = pochi(str(root), "--minutes", "2", *SMALL, weights, command="fit", prog="pochi")
    assert outcome.code == 0, outcome.err
    assert "Stopped after epoch 1: another epoch would take longer than the time" in outcome.out
    config, metrics = read_run(tmp_path / "out")
    assert (config["epochs"], config["stop_after_epoch"]) == (4, 1)
    # The command repeats the run without the clock: the same schedule, cut at the same epoch.
    repeat(pochi, outcome.out)
    other, same = read_run(tmp_path / "again")
    assert same == metrics
    assert {**other, "work_dir": "out"} == config


@pytest.mark.parametrize(
    ("strategy", "size_px", "scale"),
    [("scratch", 32, "0.6"), ("probe_finetune", 96, "0.6"), ("probe_finetune", 128, "0.5")],
)
def test_small_pictures_are_cropped_less(strategy: str, size_px: int, scale: str) -> None:
    words = training_words(["model=x"], Training(strategy, size_px, 4, 2, 1.0, 1.0), 4)
    assert f"transform.crop_scale={scale}" in words
    assert "transform.crop_pct=1.0" in words
    assert f"transform.size={size_px}" in words


@pytest.mark.parametrize(
    ("strategy", "model", "epochs", "is_free"),
    [
        ("probe_finetune", "efficientnet_lite0", 8, True),
        ("probe_finetune", "efficientnet_lite0", 7, False),  # too few to learn statistics
        ("probe_finetune", "resnet18", 8, False),
        ("scratch", "efficientnet_lite0", 8, False),
    ],
)
def test_batch_norm_learns_in_a_long_training(
    strategy: str, model: str, epochs: int, is_free: bool
) -> None:
    training = Training(strategy, 128, epochs, epochs // 2, 1.0, 1.0)
    for num in (epochs // 2, epochs - 1):  # the comparison, and what fits after it
        words = training_words([f"model={model}"], training, num)
        assert ("strategy.freeze_norm=false" in words) == is_free
        assert ("learning_rate=0.003" in words) == is_free


@pytest.mark.parametrize(
    ("folder", "typed", "expected"),
    [
        ("photos", [], ["data=folder", "data.train_root=photos", "data.val_fraction=0.2"]),
        ("my.CSV", [], ["data=table", "data.table=my.CSV", "data.val_fraction=0.2"]),
        ("a/b.parquet", ["data.split_column=s"], ["data=table", "data.table=a/b.parquet"]),
        ("photos", ["data.num_folds=5"], ["data=folder", "data.train_root=photos"]),
    ],
)
def test_a_folder_or_a_table(folder: str, typed: list[str], expected: list[str]) -> None:
    first = ["strategy=budget", "budget.minutes=5"]
    assert overrides(folder, 5.0, typed) == [*first, *expected]


def test_what_was_typed_counts_more_than_the_plan() -> None:
    typed = ["model=resnet50", "+transform.size=96", "seed=3"]
    planned = ["strategy=probe", "model=efficientnet_lite0", "transform.size=224"]
    assert combine(planned, typed) == ["strategy=probe", *typed]
    assert typed_value(typed, "transform.size") == "96"
    assert typed_value(typed, "epochs") == ""


MISTAKES = {
    "no folder": ((), "DIR must be one folder of class folders or one table, got nothing"),
    "two folders": (("a", "b"), "got a, b"),
    "no time": (("a", "--minutes", "0"), "must be a number of minutes > 0, got '0'"),
    "words for time": (("a", "--minutes", "soon"), "got 'soon'"),
    "flags with values": (("--config-dir", "conf", "-c", "job"), "got nothing"),
    "sweep": (("a", "--multirun"), "got --multirun"),
    "strategy": (("a", "strategy=probe"), "chooses the strategy within --minutes, got strategy="),
    "missing folder": (("nowhere",), "data.train_root"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_wrong_input(pochi: Callable[..., Any], tmp_path: Path, name: str) -> None:
    words, text = MISTAKES[name]
    outcome = pochi(*words, command="fit", prog="pochi")
    assert outcome.code == 2
    assert text in outcome.err
    assert "Traceback" not in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_a_budget_needs_minutes_and_validation_pictures(
    pochi: Callable[..., Any], make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    outcome = pochi("strategy=budget", "budget.minutes=null")
    assert outcome.code == 2
    assert "budget.minutes must be a number of minutes > 0" in outcome.err
    root = make_folder(tmp_path / "data", COUNTS)
    outcome = pochi("strategy=budget", "data=folder", f"data.train_root={root}")
    assert outcome.code == 2
    assert "strategy=budget must have validation pictures" in outcome.err
    outcome = pochi("strategy=budget", "resume=auto")
    assert outcome.err.startswith("resume must be null with strategy=budget")
    outcome = pochi("--multirun", "strategy=budget", "seed=0,1", f"work_dir={tmp_path / 'out'}")
    assert "strategy must not be budget in a sweep" in outcome.err


def test_what_finds_the_options_stays_in_the_command_that_repeats_the_run() -> None:
    typed = ["photos", "--config-dir", "mine", "hydra.searchpath=[pkg://a]", "seed=3"]
    words = ["strategy=probe", "seed=3", "legacy=file"]
    flags = ["--config-dir", "mine", "hydra.searchpath=[pkg://a]"]
    assert complete_command(words, typed) == [*flags, *words]
    assert complete_command(words, ["--config=a.py"]) == ["--config=a.py", *words[:2]]


def test_large_photographs_are_reduced_before_they_are_cropped(
    pochi: Callable[..., Any],
    make_folder: Callable[..., Path],
    tmp_path: Path,
    weights: str,
    quick: pytest.MonkeyPatch,
) -> None:
    values = iter([50.0, 75.0])
    quick.setattr(fit, "run_pilot", lambda *rest: Pilot(next(values), 1.0))
    quick.setattr(fit, "MAX_EPOCHS", 2)
    quick.setattr("pochitrain.run.fit.plan.MIN_EPOCHS", 1)
    quick.setattr("pochitrain.run.fit.plan.MAX_EPOCHS", 3)
    quick.setattr(cost, "time_loading", lambda *parts: Loading(0.125, 0.0))
    quick.setattr(cost, "num_cores", lambda: 2)
    quick.setattr("pochitrain.data.loader.num_cores", lambda: 2)
    root = make_folder(tmp_path / "data", COUNTS, side_px=200, suffix=".jpg")
    outcome = pochi(str(root), "--minutes", "2", *SMALL, weights, command="fit", prog="pochi")
    assert outcome.code == 0, outcome.err
    config, metrics = read_run(tmp_path / "out")
    # 64 / sqrt(0.6) = 82.6; pictures of 200 px are more than twice as large.
    assert config["data"]["cache_px"] == 83
    assert config["data"]["num_workers"] == 2
    repeat(pochi, outcome.out)
    assert read_run(tmp_path / "again")[1] == metrics


def test_a_pass_that_is_slower_than_measured_gives_a_smaller_size(
    pochi: Callable[..., Any],
    make_folder: Callable[..., Path],
    tmp_path: Path,
    weights: str,
    quick: pytest.MonkeyPatch,
) -> None:
    # 40 pictures of 50 px: 128 px at most; 0.02 s each is 0.8 s. Ten times that fits at no size.
    seen: list[Any] = []

    def rehearse(cfg: Any, *rest: Any) -> float:
        seen.append((cfg.strategy.name, cfg.transform.size, cfg.transform.crop_pct))
        return 10 * 0.02

    def time_forward(model: Any, px: int, precision: Any) -> float:
        return 0.02 * px / 128

    quick.setattr(cost, "time_forward", time_forward)
    quick.setattr(fit, "rehearse", rehearse)
    quick.setattr(fit, "REHEARSAL_S", 0.0)
    quick.setattr("pochitrain.run.fit.plan.PROBE_SHARE", 0.2)
    root = make_folder(tmp_path / "data", COUNTS, side_px=50)
    words = ["model=resnet18", weights, "epochs=2", "work_dir=out"]
    outcome = pochi(str(root), "--minutes", "0.5", *words, command="fit", prog="pochi")
    assert outcome.code == 0, outcome.err
    assert seen == [("probe", 128, 1.0)]
    assert read_run(tmp_path / "out")[0]["transform"]["size"] == 64
