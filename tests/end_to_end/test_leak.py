"""Training on pictures that are in validation too: it is said, and the accuracy without them."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Pochi = Callable[..., Any]
SMALL = (
    "model=torchvision",
    "model.name=squeezenet1_1",
    "transform.size=32",
    "batch_size=8",
    "device=cpu",
)


@pytest.fixture
def sides(make_folder: Callable[..., Path], tmp_path: Path) -> tuple[str, ...]:
    """Validation: six pictures of their own, and two of training."""
    train = make_folder(tmp_path / "train", {"a": 8, "b": 8})
    whole = make_folder(tmp_path / "whole", {"a": 12, "b": 12})
    for name, kept in (("a", (7, 9, 10, 11)), ("b", (0, 8, 9, 10))):
        (tmp_path / "val" / name).mkdir(parents=True)
        for i in kept:
            shutil.copy(whole / name / f"{i:03d}.png", tmp_path / "val" / name)
    shutil.rmtree(whole)
    return ("data=folder", f"data.train_root={train}", f"data.val_root={tmp_path / 'val'}")


def rows(run: Path) -> list[dict[str, str]]:
    with open(run / "training_metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_leaks_are_counted_and_left_out(
    pochi: Pochi, sides: tuple[str, ...], tmp_path: Path
) -> None:
    outcome = pochi(*SMALL, *sides, "epochs=2", "hydra.run.dir=run")
    assert outcome.code == 0, outcome.err
    assert "2 of 8 validation pictures are in training too (2 the same, 0 nearly" in outcome.out
    assert "Warning: 2 validation pictures are in training too" in outcome.out
    assert "Without the validation pictures that are in training too: accuracy" in outcome.out
    with open(tmp_path / "run" / "leaked_pictures.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["position"] for row in table] == ["0", "4"]
    assert [Path(row["training_picture"]).name for row in table] == ["007.png", "000.png"]
    found = rows(tmp_path / "run")
    for row in found:  # six pictures are left
        hits = float(row["val_accuracy_without_leaks"]) * 6 / 100
        assert hits == pytest.approx(round(hits))
        total = float(row["val_accuracy"]) * 8 / 100
        assert 0 <= total - hits <= 2


def test_nothing_changes_without_leaks(
    pochi: Pochi, sides: tuple[str, ...], tmp_path: Path
) -> None:
    for leaked in ("a/007.png", "b/000.png"):
        (tmp_path / "val" / leaked).unlink()
    outcome = pochi(*SMALL, *sides, "epochs=1", "hydra.run.dir=run")
    assert outcome.code == 0, outcome.err
    assert "0 of 6 validation pictures are in training too" in outcome.out
    assert "Without the validation pictures" not in outcome.out
    assert not (tmp_path / "run" / "leaked_pictures.csv").exists()
    assert "val_accuracy_without_leaks" not in rows(tmp_path / "run")[0]


def test_copies_in_the_test_are_counted(
    pochi: Pochi, sides: tuple[str, ...], make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    test = make_folder(tmp_path / "test", {"a": 1, "b": 14})  # of training 1 + 8, of validation 3
    words = (*SMALL, *sides, f"data.test_root={test}", "epochs=1", "metrics.export=false")
    outcome = pochi(*words, "hydra.run.dir=run")
    assert outcome.code == 0, outcome.err
    known = {p.read_bytes() for side in ("train", "val") for p in (tmp_path / side).glob("*/*")}
    copies = sum(path.read_bytes() in known for path in test.glob("*/*"))
    assert 9 <= copies < 15
    result = json.loads((tmp_path / "run" / "test_metrics.json").read_text())
    assert (result["images"], result["images_seen_before"]) == (15, copies)
    assert f"on 15 pictures, {copies} of which are in training or validation too: " in outcome.out
    shutil.rmtree(test / "a")
    for path in test.glob("b/*"):
        if path.read_bytes() in known:
            path.unlink()
    outcome = pochi(*words, "hydra.run.dir=alone")
    assert "pictures that nothing else has seen: " in outcome.out


def test_a_resumed_run_leaves_out_what_it_left_out_before(
    pochi: Pochi, sides: tuple[str, ...], tmp_path: Path
) -> None:
    """Also where the files differ by now, and nobody could find the leak any more."""
    words = (*SMALL, *sides, "scheduler=none")
    assert pochi(*words, "epochs=3", "hydra.run.dir=whole").code == 0
    assert pochi(*words, "epochs=2", "hydra.run.dir=short").code == 0
    for leaked in ("a/007.png", "b/000.png"):  # the same picture, with a byte after its end
        with open(tmp_path / "val" / leaked, "ab") as file:
            file.write(b"x")
    table = tmp_path / "short" / "leaked_pictures.csv"
    content = table.read_text()
    table.write_text(content.replace("position,", "where,"))
    outcome = pochi("resume=short", "epochs=3")
    assert outcome.code == 2
    assert "leaked_pictures.csv must be as the training has written it, got" in outcome.err
    table.write_text(content)
    outcome = pochi("resume=short", "epochs=3")
    assert outcome.code == 0, outcome.err
    found = rows(tmp_path / "short")
    assert found == rows(tmp_path / "whole")
    assert len(found) == 3
    assert all(row["val_accuracy_without_leaks"] for row in found)
