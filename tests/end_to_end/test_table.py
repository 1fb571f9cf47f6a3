"""data=table as a user runs it."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pochitrain.engine.checkpoint import load_checkpoint

Pochi = Callable[..., Any]
TINY = [
    "model=torchvision",
    "model.name=shufflenet_v2_x0_5",
    "transform=minimal",
    "transform.size=32",
    "metrics.export=true",
    "scheduler=none",
    "device=cpu",
    "batch_size=4",
]
METRICS = "training_metrics.csv"


@pytest.fixture
def photos(tmp_path: Path, make_folder: Callable[..., Path]) -> Path:
    root = make_folder(tmp_path / "photos", {"a": 10, "b": 10})
    rows = []
    for i, path in enumerate(sorted(root.rglob("*.png"))):
        split = "val" if i % 5 == 4 else "train"
        rows.append([f"{path.relative_to(root)}", path.parent.name, split, 5 if i % 2 else 1, 3])
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image", "label", "split", "weight", "three"], *rows[::-1]])
    return root


def train(pochi: Pochi, tmp_path: Path, name: str, *words: str) -> Path:
    outcome = pochi(*words, *TINY, f"work_dir={name}")
    assert outcome.code == 0, outcome.err
    (run,) = (tmp_path / name).iterdir()
    return run


TABLE = ["data=table", "data.table=labels.csv", "data.root=photos"]
SPLIT = "data.split_column=split"


def test_a_table_of_a_folder_trains_as_the_folder_does(
    photos: Path, tmp_path: Path, pochi: Pochi
) -> None:
    folder = ["data=folder", "data.train_root=photos"]
    fraction = ["data.val_fraction=0.3", "epochs=1"]
    first = train(pochi, tmp_path, "folder", *folder, *fraction)
    second = train(pochi, tmp_path, "table", *TABLE, *fraction)
    assert (first / METRICS).read_bytes() == (second / METRICS).read_bytes()
    for column, equal in (("weight", False), ("three", True)):
        words = [*TABLE, *fraction, f"data.weight_column={column}"]
        run = train(pochi, tmp_path, column, *words)
        assert ((run / METRICS).read_bytes() == (first / METRICS).read_bytes()) is equal


def test_resumed_after_it_moved_it_is_the_same_run(
    photos: Path, tmp_path: Path, pochi: Pochi
) -> None:
    words = [*TABLE, SPLIT, "data.weight_column=weight"]
    whole = train(pochi, tmp_path, "whole", *words, "epochs=2")
    half = train(pochi, tmp_path, "half", *words, "epochs=1")
    shutil.move("photos", "moved")
    shutil.move("labels.csv", "other.csv")
    moved = ["data=table", "data.table=other.csv", "data.root=moved"]
    outcome = pochi(f"resume={half}", "epochs=2", *moved)
    assert outcome.code == 0, outcome.err
    assert (half / METRICS).read_bytes() == (whole / METRICS).read_bytes()
    one, other = (load_checkpoint(run / "models" / "last.pth") for run in (whole, half))
    assert all(torch.equal(other["model"][key], value) for key, value in one["model"].items())
    # Other weights make another run.
    text = (tmp_path / "other.csv").read_text()
    (tmp_path / "other.csv").write_text(text.replace(",train,5", ",train,4", 1))
    outcome = pochi(f"resume={half}", "epochs=3", *moved)
    assert outcome.code == 2
    assert outcome.err.startswith("data must hold the pictures that the run began with")


def test_inference_scores_a_table_and_its_results_are_a_table(
    photos: Path, tmp_path: Path, pochi: Pochi
) -> None:
    run = train(pochi, tmp_path, "runs", *TABLE, SPLIT, "epochs=1")
    words = ["--data", "labels.csv", "--root", "photos", "--output", "all"]
    outcome = pochi(str(run), *words, command="infer", prog="pochi infer")
    assert outcome.code == 0, outcome.err
    with (tmp_path / "all" / "inference_results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["image_path"] == "photos/b/009.png"
    assert {row["true_class"] for row in rows} == {"a", "b"}
    assert (tmp_path / "all" / "classification_report.csv").exists()
    outcome = pochi(str(run), command="infer", prog="pochi infer")
    assert outcome.code == 0, outcome.err
    assert "4 pictures" in outcome.out
    words = ["--data", "all/inference_results.csv", "--output", "again"]
    outcome = pochi(str(run), *words, command="infer", prog="pochi infer")
    assert outcome.code == 0, outcome.err
    texts = [(tmp_path / name / "inference_results.csv").read_bytes() for name in ("all", "again")]
    assert texts[0] == texts[1]


def test_rows_for_the_test_are_used_once_at_the_end(
    photos: Path, tmp_path: Path, pochi: Pochi
) -> None:
    lines = (tmp_path / "labels.csv").read_text().splitlines()
    lines = [line.replace(",val,", ",test,") if i % 2 else line for i, line in enumerate(lines)]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    tested = [line.partition(",")[0] for line in lines if ",test," in line]
    assert 0 < len(tested) < 4
    run = train(pochi, tmp_path, "runs", *TABLE, SPLIT, "epochs=1")
    with (run / "test_predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["image_path"] for row in rows} == {f"photos/{path}" for path in tested}


def test_groups_and_folds_of_a_table(photos: Path, tmp_path: Path, pochi: Pochi) -> None:
    """Odd and even pictures are two groups of many; each is validated on in one fold of two."""
    lines = (tmp_path / "labels.csv").read_text().splitlines()
    lines = [f"{line},{'group' if i == 0 else i % 4}" for i, line in enumerate(lines)]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    words = ["data.num_folds=2", "data.fold=0,1", "data.group_column=group", "epochs=1"]
    outcome = pochi("--multirun", *TABLE, *words, *TINY, "work_dir=runs")
    assert outcome.code == 0, outcome.err
    with (tmp_path / "runs" / "folds" / "out_of_fold.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20
    group = {f"photos/{line.split(',')[0]}": line.rpartition(",")[2] for line in lines[1:]}
    pairs = {(group[row["image_path"]], row["fold"]) for row in rows}
    assert len(pairs) == 4  # each group in one fold


def test_a_probe_weighs_pictures_too(photos: Path, tmp_path: Path, pochi: Pochi) -> None:
    words = [*TABLE, SPLIT, "strategy=probe", "model.pretrained=false", "epochs=2"]
    runs = [
        train(pochi, tmp_path, "plain", *words, "strategy.head_lr=0.1"),
        train(
            pochi, tmp_path, "given", *words, "strategy.head_lr=0.1", "data.weight_column=weight"
        ),
        train(pochi, tmp_path, "chosen", *words, "data.weight_column=weight"),
    ]
    first, second, third = ((run / METRICS).read_text() for run in runs)
    assert first != second
    assert len(third.splitlines()) == 3


def test_weights_cannot_be_mixed(photos: Path, pochi: Pochi) -> None:
    outcome = pochi(*TABLE, SPLIT, "data.weight_column=weight", "transform=mixup")
    assert outcome.code == 2
    assert outcome.err == (
        "data.weight_column must be null with a transform that mixes pictures (transform.batch), "
        "got 'weight'. Choose a transform without mixup and cutmix, or leave the weights out.\n"
    )
