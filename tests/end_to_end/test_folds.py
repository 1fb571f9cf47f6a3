"""Five folds of the digits, undisturbed and interrupted; and the test, which happens once."""

import csv
import json
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from fault_program import Program
from omegaconf import OmegaConf
from sklearn.metrics import accuracy_score, f1_score

from pochitrain.run.judge import is_tested

FOLDS = ["--multirun", "data.num_folds=5", "data.fold=range(0,5)"]


def digits(work_dir: str, *more: str) -> list[str]:
    """Arguments of a short run: 2 epochs of 6 batches."""
    return [
        f"work_dir={work_dir}",
        "data=digits",
        "data.image_size=16",
        "transform=minimal",
        "model=torchvision",
        "model.name=tiny",
        "model._target_=fault_part.build_tiny",
        "allow_targets=[fault_part.*]",
        "+callbacks.fault._target_=fault_part.SignalAt",
        "batch_size=256",
        "learning_rate=0.02",
        "epochs=2",
        "metrics.export=false",
        "device=cpu",
        *more,
    ]


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_summary(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "folds.json").read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="module")
def whole(program: Program) -> Path:
    """The directory of a multirun over five folds."""
    ended = program.run(*FOLDS, *digits("whole"))
    assert ended.code == 0, ended.text
    assert "5 folds, 1,797 pictures" in ended.text
    return program.folder / "whole"


def test_folds_are_disjoint_and_together_everything(whole: Path) -> None:
    rows = read_rows(whole / "folds" / "out_of_fold.csv")
    assert sorted(row["image_path"] for row in rows) == sorted(f"digits[{i}]" for i in range(1797))
    sizes = [sum(row["fold"] == str(fold) for row in rows) for fold in range(5)]
    assert sum(sizes) == 1797 and max(sizes) - min(sizes) <= 1
    assert all(abs(sum(float(row[f"p_{c}"]) for c in range(10)) - 1) < 1e-9 for row in rows)
    runs = [Path(fold["run"]) for fold in read_summary(whole / "folds")["folds"]]
    parts = [read_rows(whole.parent / run / "val_predictions.csv") for run in runs]
    assert list(chain(*parts)) == rows


def exact_mean_and_std(values: list[float]) -> tuple[float, float]:
    """Rounded only once, at the end."""
    numbers = [Fraction(value) for value in values]
    mean = sum(numbers) / len(numbers)
    variance = sum((number - mean) ** 2 for number in numbers) / (len(numbers) - 1)
    with localcontext() as context:
        context.prec = 60
        root = (Decimal(variance.numerator) / Decimal(variance.denominator)).sqrt()
    return float(mean), float(root)


def test_summary_is_right_to_the_last_digit(whole: Path) -> None:
    rows = read_rows(whole / "folds" / "out_of_fold.csv")
    summary = read_summary(whole / "folds")

    def judge(part: list[dict[str, str]]) -> dict[str, float]:
        true, found = ([row[key] for row in part] for key in ("true", "predicted"))
        right = sum(row["correct"] == "True" for row in part)
        assert accuracy_score(true, found) == right / len(part)
        f1 = float(f1_score(true, found, average="macro"))
        return {"accuracy": 100 * right / len(part), "macro_f1_score": f1}

    each = [judge([row for row in rows if row["fold"] == str(fold)]) for fold in range(5)]
    for key in ("accuracy", "macro_f1_score"):
        assert [fold[key] for fold in summary["folds"]] == [one[key] for one in each]
        mean, std = exact_mean_and_std([one[key] for one in each])
        assert (summary["mean"][key], summary["std"][key]) == (mean, std)
        assert summary["pooled"][key] == judge(rows)[key]
    assert summary["complete"] and summary["images"] == 1797
    table = read_rows(whole / "folds" / "folds.csv")
    assert [row["fold"] for row in table] == ["0", "1", "2", "3", "4", "mean", "std", "pooled"]
    assert float(table[6]["accuracy"]) == summary["std"]["accuracy"]
    for fold in summary["folds"]:
        status = json.loads((whole.parent / fold["run"] / "status.json").read_text())
        assert status["best"] == {
            "epoch": fold["best_epoch"],
            "value": pytest.approx(fold["accuracy"], abs=1e-9),
        }


@pytest.mark.slow
def test_resumed_in_the_middle_of_fold_3(program: Program, whole: Path) -> None:
    words = [*FOLDS, *digits("torn")]
    stopped = program.run(*words, SIGNAL_AT="SIGKILL:batch:1:3", SIGNAL_JOB="3")
    assert stopped.code == -9, stopped.text
    torn = program.folder / "torn"
    assert not (torn / "folds").exists()
    assert len(list(torn.glob("*/status.json"))) == 4
    ended = program.run(*words, "resume=auto")
    assert ended.code == 0, ended.text
    assert ended.text.count("is finished") == 3
    assert ended.text.count("Resuming ") == 1
    for name in ("out_of_fold.csv", "folds.csv", "classification_report.csv"):
        assert (torn / "folds" / name).read_bytes() == (whole / "folds" / name).read_bytes()


@pytest.mark.slow
def test_only_one_run_alone_is_tested_and_once(program: Program, tmp_path: Path) -> None:
    test = "data.test_fraction=0.1"
    several = program.run("--multirun", "data.num_folds=2", "data.fold=0,1", *digits("cv", test))
    assert several.code == 0, several.text
    assert not list((program.folder / "cv").glob("*/test_*"))
    assert "so none of them is tested. Train the chosen setting once" in several.text
    seen = {row["image_path"] for row in read_rows(program.folder / "cv/folds/out_of_fold.csv")}

    ended = program.run(*digits("alone", test, "seed=5"))
    assert ended.code == 0, ended.text
    run = program.only_run("alone")
    rows = read_rows(run / "test_predictions.csv")
    assert len(seen) + len(rows) == 1797
    assert not seen & {row["image_path"] for row in rows}  # with another seed too
    result = json.loads((run / "test_metrics.json").read_text())
    right = sum(row["true"] == row["predicted"] for row in rows)
    assert result["accuracy"] == 100 * right / len(rows)
    assert result["best"]["epoch"] == json.loads((run / "status.json").read_text())["best"]["epoch"]
    assert f"accuracy {result['accuracy']:.2f} %" in ended.text

    # Finished is finished; what is trained on is tested again and says so.
    before = (run / "test_metrics.json").stat()
    resume = f"resume={run}"
    assert program.run(resume, "allow_targets=[fault_part.*]").code == 0
    assert (run / "test_metrics.json").stat().st_mtime_ns == before.st_mtime_ns
    longer = program.run(resume, "allow_targets=[fault_part.*]", "epochs=4")
    assert longer.code == 0, longer.text
    again = json.loads((run / "test_metrics.json").read_text())
    if again["best"] == result["best"]:
        assert again == result
    else:
        assert [old["best"] for old in again["earlier"]] == [result["best"]]
        assert "test number 2 of this run" in longer.text


def test_no_trial_of_a_search_is_tested() -> None:
    assert not is_tested(OmegaConf.create({"optuna": {"enabled": True}}))
    assert is_tested(OmegaConf.create({"optuna": {"enabled": False}}))
