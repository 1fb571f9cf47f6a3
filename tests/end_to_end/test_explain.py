"""`pochi explain` and `pochi infer --explain` as a person uses them."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

Pochi = Callable[..., Any]


@pytest.fixture
def run(make_run: Callable[..., Path]) -> Path:
    return make_run(["ant", "bee"], device="cpu")


def test_one_picture(pochi: Pochi, run: Path, tmp_path: Path) -> None:
    Image.new("RGB", (60, 40), (200, 30, 30)).save(tmp_path / "a.png")
    words = (str(run), "a.png", "--output", "why.png", "--class", "bee")
    outcome = pochi(*words, command="explain", prog="pochi")
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("a.png  ")
    assert "Written to why.png" in outcome.out
    with Image.open(tmp_path / "why.png") as image:
        assert image.format == "PNG" and image.width > 2 * image.height * 0.8
    assert not (run / "explain").exists()


def test_a_folder_called_like_a_picture(pochi: Pochi, run: Path, tmp_path: Path) -> None:
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    (tmp_path / "out.png").mkdir()
    words = (str(run), "a.png", "--output", "out.png")
    outcome = pochi(*words, command="explain", prog="pochi")
    assert outcome.code == 0, outcome.err
    names = {path.name for path in (tmp_path / "out.png").iterdir()}
    assert names == {"0001_a.png", "explanations.csv"}


def test_a_folder(pochi: Pochi, run: Path, tmp_path: Path, make_folder: Callable) -> None:
    make_folder(tmp_path / "data", {"ant": 2, "bee": 1})
    (tmp_path / "data" / "bee" / "bad.png").write_bytes(b"no picture")
    outcome = pochi(str(run), "--data", "data", command="explain", prog="pochi")
    assert outcome.code == 0, outcome.err
    assert "unreadable  data/bee/bad.png" in outcome.out
    with open(run / "explain" / "explanations.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["image_path"] for row in rows] == [
        "data/ant/000.png", "data/ant/001.png", "data/bee/000.png", "data/bee/bad.png",
    ]  # fmt: skip
    assert [row["file"] for row in rows] == ["0001_000.png", "0002_001.png", "0003_000.png", ""]
    assert [row["true_class"] for row in rows] == ["ant", "ant", "bee", "bee"]
    assert rows[0]["predicted_class"] == rows[0]["explained_class"] in ("ant", "bee")
    assert rows[3]["error"]
    names = {path.name for path in (run / "explain").iterdir()}
    assert names == {*(row["file"] for row in rows[:3]), "explanations.csv"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "PICTURE must be at least one picture, got none. --data DIR takes all of a folder."),
        (("no.png",), "PICTURE must be a picture, got 'no.png', which is not there. --data takes"),
        (("data",), "PICTURE must be a picture, got 'data', a folder. --data takes folders and"),
        (("a.png", "--data", "data"), "PICTURE must be left out with --data, got 'a.png'. Put all"),
        (
            ("a.png", "--class", "be"),
            "--class must be a class of the model (ant, bee), got 'be'. D",
        ),
        (("--data", "data", "--output", "x.png"), "--output must be a folder for 2 pictures, got "),
        (
            ("a.png", "--output", "no/x.png"),
            "--output must be a folder that can be written to (No ",
        ),
        (("bad.png",), "bad.png: not a picture."),
    ],
)
def test_mistakes(
    pochi: Pochi,
    run: Path,
    tmp_path: Path,
    make_folder: Callable,
    words: tuple[str, ...],
    message: str,
) -> None:
    make_folder(tmp_path / "data", {"ant": 1, "bee": 1})
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    outcome = pochi(str(run), *words, command="explain", prog="pochi")
    assert outcome.code == 2
    assert outcome.err.startswith(message), outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_heatmaps_of_mistakes(
    pochi: Pochi, run: Path, tmp_path: Path, make_folder: Callable
) -> None:
    make_folder(tmp_path / "data", {"ant": 3, "bee": 3})
    pages = []
    for words in ((), ("--explain",)):
        outcome = pochi(str(run), "--data", "data", *words, command="infer", prog="pochi")
        assert outcome.code == 0, outcome.err
        folder = max(run.glob("inference*"), key=lambda path: path.stat().st_mtime_ns)
        pages.append((folder / "mistakes.html").read_text("utf-8"))
    mistakes = pages[0].count("<figure")
    assert mistakes >= 1
    assert [page.count("<img") for page in pages] == [mistakes, 2 * mistakes]
    assert "evidence for" in pages[1] and "evidence for" not in pages[0]
    refused = pochi(str(run), "--data", "data/ant", "--explain", command="infer", prog="pochi")
    assert refused.code == 2
    assert refused.err.startswith(
        "--explain must be left out without true classes, got 'data/ant'."
    )
