"""--data labels.csv: the images of a table, scored where it has a column of classes."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_factory import checkpoint_content
from PIL import Image

from pochitrain.data.dataset import fingerprint
from pochitrain.data.table import open_table
from pochitrain.error import ConfigError
from pochitrain.inference.classifier import Classifier, load_classifier
from pochitrain.inference.source import open_source

CLASSES = ["ant", "bee"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for i in range(6):
        Image.new("RGB", (8, 8), (40 * i, 0, 0)).save(f"{i}.png")


@pytest.fixture
def classifier(make_run: Callable[..., Path]) -> Classifier:
    return load_classifier(make_run(CLASSES), "cpu")


def write(text: str) -> str:
    Path("labels.csv").write_text(text, encoding="utf-8")
    return "labels.csv"


def test_labelled_in_the_order_of_the_table(classifier: Classifier) -> None:
    source = open_source(classifier, write("path,label\n2.png,bee\n0.png,ant\n2.png,bee\n"))
    assert source.labelled
    assert [source.dataset.name(i) for i in range(2)] == ["2.png", "0.png"]
    assert np.asarray(source.dataset.labels).tolist() == [1, 0]
    assert source.origin == "labels.csv"
    assert source.warnings == [
        "--data lists 1 picture(s) more than once, which are used once: line 4 '2.png' of "
        "'labels.csv'."
    ]


@pytest.mark.parametrize("text", ["path\n2.png\n", "path,label\n2.png,\n"])
def test_without_classes_there_is_nothing_to_score(classifier: Classifier, text: str) -> None:
    source = open_source(classifier, write(text))
    assert not source.labelled
    assert np.asarray(source.dataset.labels).tolist() == [-1]


def test_paths_begin_at_the_table_or_root(classifier: Classifier) -> None:
    os.mkdir("in")
    Path("in/labels.csv").write_text("path\n2.png\n")
    with pytest.raises(ConfigError, match=r"^--data must list pictures that are there, got 1 of 1"):
        open_source(classifier, "in/labels.csv")
    assert open_source(classifier, "in/labels.csv", ".").dataset.name(0) == "2.png"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "path,label\n2.png,bee\n0.png,cow\n1.png,ant\n3.png,\n",
            "the label_column of --data must have a value in every row, got none in line 5 of "
            "'labels.csv'. Fill it in, or delete the row.",
        ),
        (
            "path,label\n2.png,bee\n0.png,cow\n",
            "--data must only hold classes of the model (ant, bee), got line 3 'cow' of "
            "'labels.csv'.",
        ),
        (
            "photo\n2.png\n",
            "--data must be a table with a column called image_path, image, path, file_path, "
            "file, filename or file_name, got 'labels.csv' with photo.",
        ),
    ],
)
def test_mistakes(classifier: Classifier, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_source(classifier, write(text))
    assert str(caught.value) == message


@pytest.mark.parametrize("data", [None, "0.png", "."])
def test_root_is_for_tables_only(classifier: Classifier, data: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        open_source(classifier, data, "photos")
    assert str(caught.value) == "--root must be left out without a table as --data, got 'photos'."


def run_of(folder: Path, **data: Any) -> Classifier:
    """A run that was trained on a table."""
    content = checkpoint_content(
        CLASSES, data={"_target_": "pochitrain.data.table.open_table", **data}
    )
    content["data"] = fingerprint(open_table(**data))
    (folder / "models").mkdir(parents=True)
    torch.save(content, folder / "models" / "best.pth")
    return load_classifier(folder, "cpu")


def test_the_validation_part_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(f"{i}.png,{'ant' if i % 2 else 'bee'},{'tv'[i > 2]}\n" for i in range(6))
    text = text.replace(",t\n", ",train\n").replace(",v\n", ",val\n")
    os.mkdir("lists")
    Path("lists/of.csv").write_text("photo,kind,part\n" + text)
    columns = {"image_column": "photo", "label_column": "kind", "split_column": "part"}
    classifier = run_of(tmp_path / "run", table="lists/of.csv", root=".", **columns)
    os.mkdir("elsewhere")
    (tmp_path / "run" / "environment.json").write_text(f'{{"folder": "{tmp_path}"}}')
    monkeypatch.chdir("elsewhere")
    dataset = open_source(classifier, None).dataset
    assert [Path(dataset.name(i)).name for i in range(3)] == ["3.png", "5.png", "4.png"]
    # The columns of the run are those of --data too.
    source = open_source(classifier, str(tmp_path / "lists" / "of.csv"), str(tmp_path))
    assert source.labelled
    assert len(source.dataset) == 6
    table = tmp_path / "lists" / "of.csv"
    table.write_text("photo,kind,part\n" + text.replace("3.png,ant,val", "3.png,ant,train"))
    with pytest.raises(ConfigError, match="changed since training"):
        open_source(classifier, None)
    table.unlink()
    with pytest.raises(ConfigError, match=r"^data\.table of the run, 'lists/of.csv', is not there"):
        open_source(classifier, None)
