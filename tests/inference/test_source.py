"""The images that a model is evaluated on are those of its training, however it was moved."""

import glob
import json
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_factory import checkpoint_content
from PIL import Image

from pochitrain.data.dataset import fingerprint
from pochitrain.data.folder import open_folder
from pochitrain.error import ConfigError
from pochitrain.inference.classifier import Classifier, load_classifier
from pochitrain.inference.source import find_path, matches, open_source
from pochitrain.inference.stream import classify

MakeFolder = Callable[..., Path]


def run_with(folder: Path, class_names: list[str], **data: Any) -> Classifier:
    """A run in `folder` that was trained on `data` (fields of data=folder)."""
    node = {"_target_": "pochitrain.data.folder.open_folder", "background": [255, 255, 255]}
    content = checkpoint_content(class_names, data={**node, "val_root": None, **data})
    if data.get("val_fraction") is not None and data.get("test_root") is None:
        content["data"] = fingerprint(open_folder(**data))
    (folder / "models").mkdir(parents=True)
    torch.save(content, folder / "models" / "best.pth")
    return load_classifier(folder, "cpu")


@pytest.fixture
def split(tmp_path: Path, make_folder: MakeFolder) -> dict[str, Any]:
    root = make_folder(tmp_path / "photos", {"ant": 10, "bee": 10})
    common = {"train_root": str(root), "val_fraction": 0.3, "seed": 1}
    return {**common, "on_error": "error", "verify": True}


def test_a_picture_of_the_split_that_broke_since_is_reported(
    tmp_path: Path, split: dict[str, Any]
) -> None:
    classifier = run_with(tmp_path / "run", ["ant", "bee"], **split)
    dataset = open_source(classifier, None).dataset
    Path(dataset.name(2)).write_bytes(b"")
    answers = classify(classifier, open_source(classifier, None).dataset, 4, 0)
    assert answers.unreadable == {2: "not a picture"}
    assert len(answers.indices) == 5


@pytest.mark.parametrize(
    "rule",
    [
        {"num_folds": 3, "fold": 2},
        {"num_folds": 3, "fold": 2, "group_by": r"/0\d(\d)\.", "test_fraction": 0.2},
        {"val_fraction": 0.3, "split_by_time": "file", "test_root": "gone"},
    ],
    ids=["fold", "grouped fold", "time"],
)
def test_folds_groups_and_times_are_found_again(
    tmp_path: Path, split: dict[str, Any], rule: dict[str, Any]
) -> None:
    for i, path in enumerate(sorted((tmp_path / "photos").rglob("*.png"))):
        os.utime(path, (1000 + 7 * i % 20, 1000 + 7 * i % 20))
    asked = {**split, "val_fraction": None, **rule}
    trained = open_folder(**{**asked, "test_root": None})
    classifier = run_with(tmp_path / "run", ["ant", "bee"], **asked)
    classifier.fingerprint = fingerprint(trained)
    found = open_source(classifier, None).dataset
    assert trained.val is not None and len(found) == len(trained.val)
    assert [found.name(i) for i in range(len(found))] == [
        trained.val.name(i) for i in range(len(found))
    ]


def test_pictures_beside_labelled_folders_are_mentioned(
    tmp_path: Path, split: dict[str, Any]
) -> None:
    classifier = run_with(tmp_path / "run", ["ant", "bee"], **split)
    (tmp_path / "photos" / "loose.jpg").touch()
    source = open_source(classifier, str(tmp_path / "photos"))
    assert source.warnings == [
        "--data holds 1 picture(s) outside its class folders, which are not used: loose.jpg."
    ]
    assert len(source.dataset) == 20


def test_a_split_of_other_pictures_is_refused(tmp_path: Path, split: dict[str, Any]) -> None:
    """With one image more, images of the training would be taken for validation."""
    classifier = run_with(tmp_path / "run", ["ant", "bee"], **split)
    Image.new("RGB", (4, 4)).save(tmp_path / "photos" / "ant" / "new.png")
    with pytest.raises(ConfigError, match="changed since training"):
        open_source(classifier, None)


def test_data_is_looked_up_from_where_the_training_was_started(
    tmp_path: Path, make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, count in (("there", 2), ("here", 3)):
        make_folder(tmp_path / place / "val", {"ant": count})
    monkeypatch.chdir(tmp_path / "here")
    classifier = run_with(tmp_path / "run", ["ant", "bee"], val_root="val", train_root="gone")
    facts = tmp_path / "run" / "environment.json"
    for text, count in (
        (json.dumps({"folder": str(tmp_path / "there")}), 2),
        (json.dumps({"folder": "${oc.env:HOME}"}), 3),  # a name is no reference
        ("[]", 3),
        ("{", 3),
    ):
        facts.write_text(text)
        assert len(open_source(classifier, None).dataset) == count


def test_a_class_is_the_same_however_its_name_is_spelled_in_unicode(
    tmp_path: Path, make_folder: MakeFolder
) -> None:
    taken_apart = unicodedata.normalize("NFD", "ガ")  # as macOS writes it
    assert taken_apart != "ガ"
    root = make_folder(tmp_path / "val", {taken_apart: 2, "犬": 1})
    classifier = run_with(tmp_path / "run", ["ガ", "犬"], val_root=str(root), train_root="gone")
    for data in (None, str(root)):
        source = open_source(classifier, data)
        assert source.labelled
        assert list(source.dataset.labels) == [0, 0, 1]
    train = make_folder(tmp_path / "train", {"ガ": 1, "犬": 1})
    val = open_folder(train_root=str(train), val_root=str(root)).val
    assert val is not None
    assert list(val.labels) == [0, 0, 1]


def test_a_pattern_is_found_in_a_folder_whose_name_looks_like_one(tmp_path: Path) -> None:
    started, run = tmp_path / "trial [1]", tmp_path / "run"
    started.mkdir()
    run.mkdir()
    (started / "train-0.tar").touch()
    (run / "environment.json").write_text(json.dumps({"folder": str(started)}), encoding="utf-8")
    checkpoint = run / "models" / "best.pth"
    found = find_path("train-*.tar", checkpoint, "data.train_shards", matches, glob.escape)
    assert glob.glob(found) == [str(started / "train-0.tar")]
