"""`pochi compare` as a person uses it, on runs that are really there."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from checkpoint_factory import checkpoint_content

from pochitrain.run.compare import entry

Pochi = Callable[..., Any]


@pytest.fixture
def make_runs(tmp_path: Path, make_folder: Callable[..., Path]) -> Callable[..., list[Path]]:
    """Writes run directories with random weights and 60 validation pictures."""
    make_folder(tmp_path / "val", {"ant": 20, "bee": 20, "cat <b>": 20})

    def make(*changes: dict[str, Any]) -> list[Path]:
        runs = []
        for number, change in enumerate(changes):
            run = tmp_path / "outputs" / f"20260101_{number + 1:03d}"
            (run / "models").mkdir(parents=True)
            content = checkpoint_content(["ant", "bee", "cat <b>"])
            content["config"] |= {"epochs": 3, **change}
            content["config"]["data"]["val_root"] = "val"
            torch.manual_seed(number)
            for tensor in content["model"].values():
                if tensor.is_floating_point():
                    tensor += 0.2 * tensor.abs().mean() * torch.randn_like(tensor)
            torch.save(content, run / "models" / "best.pth")
            (run / "config.yaml").write_text(yaml.safe_dump(content["config"]), encoding="utf-8")
            status = {"status": "finished", "epoch": 3, "best": {"epoch": 2, "value": 50.0}}
            (run / "status.json").write_text(json.dumps(status), encoding="utf-8")
            rows = "".join(f"{i},{40 + i},{1 / i}\n" for i in (1, 2, 3))
            (run / "training_metrics.csv").write_text(f"epoch,val_accuracy,val_loss\n{rows}")
            runs.append(run)
        return runs

    return make


def test_two_seeds_and_another_rate(
    pochi: Pochi, make_runs: Callable[..., list[Path]], tmp_path: Path
) -> None:
    runs = make_runs(
        {"learning_rate": 0.1, "seed": 1},
        {"learning_rate": 0.1, "seed": 2},
        {"learning_rate": 0.01, "seed": 1},
    )
    out = tmp_path / "compared"
    outcome = pochi("outputs", "--output", str(out), command="compare", prog="pochi")
    assert outcome.code == 0, outcome.err
    assert re.search(r"learning_rate +0\.1 +0\.01 *\n", outcome.out)
    assert "seed " not in outcome.out.partition("Validation")[0]
    assert "2 runs that differ by nothing but their seed" in outcome.out
    assert "best epoch was chosen on the same validation pictures" in outcome.out

    assert "balanced accuracy" in outcome.out.partition(" minus ")[2]
    content = json.loads((out / "compare.json").read_text(encoding="utf-8"))
    names = [[run.name for run in runs[:2]], ["20260101_003"]]
    assert [one["runs"] for one in content["settings"]] == names
    with (out / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["pictures"] for row in rows] == ["60"] * 3
    assert pochi(str(runs[0]), command="infer", prog="pochi").code == 0
    summary = json.loads((runs[0] / "inference" / "inference_summary.json").read_text())
    assert float(rows[0]["val_accuracy"]) == summary["accuracy"]
    low, high = summary["intervals_95"]["accuracy"]
    assert (float(rows[0]["val_accuracy_low"]), float(rows[0]["val_accuracy_high"])) == (low, high)
    assert low < summary["accuracy"] < high
    with (out / "disagreements.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    pair = content["comparisons"][0]
    shown = [line for line in lines if line["first"] == pair["first"]]
    assert len(shown) == pair["only_first_right"] + pair["only_second_right"]
    for line in shown:
        winner, loser = (
            ("first", "second") if line["right"] == pair["first"] else ("second", "first")
        )
        assert line[f"{winner}_class"] == line["true_class"] != line[f"{loser}_class"]
        assert Path(line["image_path"]).is_file()

    page = (out / "compare.html").read_text(encoding="utf-8")
    assert "<b>cat" not in page and "cat <b>" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("<figure") == len(shown)
    assert page.count("data:image/png") == 2
    assert " minus " in page
    assert (out / "curves.png").stat().st_size > 10_000


def test_json_is_all_that_is_printed_and_models_are_asked_once(
    pochi: Pochi,
    make_runs: Callable[..., list[Path]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    runs = make_runs({"seed": 1}, {"seed": 2})
    words = ("outputs", "--json")
    first = pochi(*words, command="compare", prog="pochi")
    assert first.code == 0, first.err
    content = json.loads(first.out)
    assert first.err.count("Classifying") == 2
    assert content["settings"][0]["seeds"]["pictures"] == 60
    again = pochi(*words, command="compare", prog="pochi")
    assert (again.out, again.err) == (first.out, "")

    shutil.copy(runs[1] / "models" / "best.pth", runs[0] / "models" / "best.pth")
    third = pochi(*words, command="compare", prog="pochi")
    assert third.err.count("Classifying") == 1  # another model answers for itself
    accuracies = [run["metrics"]["val_accuracy"]["value"] for run in json.loads(third.out)["runs"]]
    assert accuracies[0] == accuracies[1]

    file = runs[0] / entry.VAL_PREDICTIONS
    file.write_text(file.read_text(encoding="utf-8")[:-200], encoding="utf-8")
    assert pochi(*words, command="compare", prog="pochi").out == third.out  # a damaged file too

    shutil.rmtree(tmp_path / "val")
    (runs[1] / entry.KEPT).unlink()
    gone = pochi("outputs", command="compare", prog="pochi")
    assert gone.code == 0
    assert re.search(
        r"Note: 20260101_002: data\.val_root of the run, 'val', is not there", gone.out
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "The following arguments are required: RUN. See pochi compare --help."),
        (["no", "no2"], "RUN must be a run directory, a checkpoint in it, or a folder that holds "),
        (["."], "RUN must be a run directory, a checkpoint in it, or a folder that holds runs, "),
        (["--jsn", "a"], "Unrecognized arguments: --jsn"),
    ],
)
def test_mistakes(pochi: Pochi, words: list[str], message: str) -> None:
    outcome = pochi(*words, command="compare", prog="pochi")
    assert outcome.code == 2
    assert outcome.err.startswith(message)
    assert len(outcome.err.splitlines()) == 1


def test_an_output_that_is_a_file(
    pochi: Pochi, make_runs: Callable[..., list[Path]], tmp_path: Path
) -> None:
    make_runs({"seed": 1}, {"seed": 2})
    (tmp_path / "file").write_text("")
    outcome = pochi("outputs", "--output", "file", command="compare", prog="pochi")
    assert outcome.code == 2
    assert outcome.err.startswith("--output must be a folder that can be written to, got 'file'")
    assert not list(tmp_path.rglob(entry.KEPT))  # said before any model is run
