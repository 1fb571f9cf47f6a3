"""Tables to labelled images: the same as folders, whoever wrote the file."""

import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pochitrain.config import model as config_model
from pochitrain.config.table import is_encoding
from pochitrain.data import verify
from pochitrain.data.dataset import DataSplits, Subset, fingerprint, weights_of
from pochitrain.data.folder import open_folder
from pochitrain.data.table import open_table
from pochitrain.data.table_file import open_table_file
from pochitrain.error import ConfigError

MakeFolder = Callable[..., Path]
ROWS = [("b/2.png", "b"), ("a/1.png", "a"), ("b/1.png", "b"), ("a/2.png", "a"), ("a/0.png", "a")]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def save_images(*paths: str) -> None:
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (len(path), 0, 0)).save(path)


def write(text: str, path: str = "labels.csv", encoding: str = "utf-8") -> str:
    with open(path, "w", encoding=encoding, newline="") as file:
        file.write(text)
    return path


def names(data: DataSplits) -> list[tuple[str, str]]:
    train = data.train
    labels = np.asarray(train.labels).tolist()
    return [(train.name(i), data.class_names[label]) for i, label in enumerate(labels)]


def test_a_table_of_a_folder_is_that_folder(make_folder: MakeFolder) -> None:
    root = make_folder(Path("photos"), {"a": 3, "b": 3})
    paths = sorted(root.rglob("*.png"), key=lambda path: path.name)  # not in the order of a folder
    lines = [f"{path.relative_to(root)},{path.parent.name}\n" for path in paths]
    write("path,label\n" + "".join(lines))
    table = open_table(table="labels.csv", root="photos", val_fraction=0.4, seed=3)
    folder = open_folder(train_root="photos", val_fraction=0.4, seed=3)
    assert fingerprint(table) == fingerprint(folder)
    assert table.class_names == folder.class_names
    assert names(table) == names(folder)
    assert isinstance(table.val, Subset)
    assert isinstance(folder.val, Subset)
    assert table.val.indices.tolist() == folder.val.indices.tolist()


def test_the_order_of_the_rows_changes_nothing() -> None:
    save_images(*(path for path, _ in ROWS))
    found = []
    for rows in (ROWS, ROWS[::-1]):
        write("image,label\n" + "".join(f"{path},{label}\n" for path, label in rows))
        found.append(names(open_table(table="labels.csv")))
    assert found[0] == found[1] == sorted(ROWS)


@pytest.mark.parametrize(
    ("path", "text", "encoding", "given"),
    [
        ("t.csv", "画像,クラス\n猫.png,猫\n犬.png,犬\n", "utf-8", {}),
        ("t.csv", "画像,クラス\r\n猫.png,猫\r\n犬.png,犬\r\n", "utf-8-sig", {}),
        ("t.csv", "画像;クラス\n猫.png;猫\n犬.png;犬\n", "utf-8", {}),
        ("t.csv", "画像,クラス\n猫.png,猫\n犬.png,犬", "cp932", {"encoding": "cp932"}),
        ("t.csv", "画像\tクラス\n猫.png\t猫\n犬.png\t犬\n", "utf-16", {}),
        ("t.TSV", "画像\tクラス\n猫.png\t猫\n犬.png\t犬\n", "utf-8", {}),
        (
            "t.csv",
            '画像, クラス,"no,te"\n\n"猫.png", 猫 ,"a\nb"\n,,\n犬.png,犬,"""c"""\n',
            "utf-8",
            {},
        ),
    ],
)
def test_whoever_wrote_it(path: str, text: str, encoding: str, given: dict[str, str]) -> None:
    save_images("猫.png", "犬.png")
    write(text, path, encoding)
    columns: dict[str, Any] = {"image_column": "画像", "label_column": "クラス", **given}
    data = open_table(table=path, **columns)
    assert names(data) == [("犬.png", "犬"), ("猫.png", "猫")]


def test_names_are_the_same_letters_however_macos_spells_them() -> None:
    composed, marks = "ガ", unicodedata.normalize("NFD", "ガ")
    save_images(f"{marks}.png", "x.png", "y.png")
    write(f"image,label\n{composed}.png,{composed}\nx.png,{marks}\ny.png,a\n")
    data = open_table(table="labels.csv")
    assert data.class_names == ["a", composed]
    assert names(data) == [("y.png", "a"), ("x.png", composed), (f"{marks}.png", composed)]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["10", "2", "1"], ["1", "2", "10"]),
        (["10", "2", "-1"], ["-1", "2", "10"]),
        (["10", "2", "1a"], ["10", "1a", "2"]),
        (["1.5", "10", "2"], ["1.5", "10", "2"]),
        (["b", "B", "あ"], ["B", "b", "あ"]),
    ],
)
def test_classes_are_sorted_as_text_or_numbers(labels: list[str], classes: list[str]) -> None:
    save_images("0.png", "1.png", "2.png")
    write("image,label\n" + "".join(f"{i}.png,{label}\n" for i, label in enumerate(labels)))
    assert open_table(table="labels.csv").class_names == classes


@pytest.mark.parametrize("labels", [[1, 2, 10, 1], [1.0, 2.0, 10.0, None], ["1", "2", "10", "1"]])
def test_parquet(labels: list[Any]) -> None:
    save_images("0.png", "1.png", "2.png", "3.png")
    frame = pd.DataFrame({"image": [f"{i}.png" for i in range(4)], "label": labels, "w": [1] * 4})
    frame.to_parquet("t.parquet")
    if None in labels:
        with pytest.raises(ConfigError, match=r"data\.label_column must .* got none in row 4 of"):
            open_table(table="t.parquet")
        frame[:3].to_parquet("t.parquet")
    assert open_table(table="t.parquet").class_names == ["1", "2", "10"]


def test_parquet_of_pictures_is_refused() -> None:
    pd.DataFrame({"image": [{"bytes": b"1", "path": "x"}], "label": ["a"]}).to_parquet("t.parquet")
    with pytest.raises(ConfigError, match="text or numbers in column 'image', got struct<"):
        open_table(table="t.parquet")


@pytest.mark.parametrize(("text", "damaged"), [(b"label", b"labe\xff"), (b"x.png", b"\xff.png")])
def test_parquet_that_is_no_text_is_refused(text: bytes, damaged: bytes) -> None:
    """Also where no config is built, which would explain it: in an inference."""
    pd.DataFrame({"image": ["x.png"], "label": ["a"]}).to_parquet("t.parquet")
    path = Path("t.parquet")
    path.write_bytes(path.read_bytes().replace(text, damaged))
    with pytest.raises(
        ConfigError, match=r"^--data must be a Parquet file, got 't.parquet', which"
    ):
        open_table_file("t.parquet", "--data").read(["image"])


@pytest.mark.parametrize("name", ["a\0b", "\udcff", "zip", "no-such"])
def test_what_is_no_encoding(name: str) -> None:
    assert not is_encoding(name)


def test_parquet_names_the_package_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("t.parquet").touch()
    monkeypatch.setattr(config_model, "find_spec", lambda package: None)
    with pytest.raises(ConfigError) as caught:
        open_table(table="t.parquet")
    assert str(caught.value) == (
        "data.table=t.parquet needs the package pyarrow, which is not installed. "
        "Type: pip install 'pochitrain[parquet]'"
    )


def test_paths_begin_at_the_table_or_root_or_are_absolute(tmp_path: Path) -> None:
    save_images("in/a.png", "in/b.png", "other/a.png", "other/b.png")
    write("image,label\na.png,x\n../in/b.png,y\n", "in/labels.csv")
    expected = [("in/a.png", "x"), ("in/../in/b.png", "y")]
    assert names(open_table(table="in/labels.csv")) == expected
    found = names(open_table(table="in/labels.csv", root="other/"))
    assert found[0] == ("other/a.png", "x")
    write(f"image,label\na.png,x\n{tmp_path}/other//b.png,y\n", "in/labels.csv")
    assert names(open_table(table="in/labels.csv")) == [
        ("in/a.png", "x"),
        (f"{tmp_path}/other/b.png", "y"),
    ]


def test_the_results_of_an_inference_can_be_read_back() -> None:
    from pochitrain.inference.table import PredictionRow, format_predictions

    save_images("in/=a.png", "in/-b.png", "-c.png")
    classes = ["-x", "'=y"]
    rows = [
        PredictionRow("in/=a.png", 0, 1, 0.5),
        PredictionRow("in/-b.png", 1, 0, 0.5),
        PredictionRow("-c.png", 0, 0, 0.5),
    ]
    Path("run").mkdir()
    write(format_predictions(rows, classes), "run/inference_results.csv")
    data = open_table(table="run/inference_results.csv")
    assert names(data) == [("in/=a.png", "'=y"), ("-c.png", "-x"), ("in/-b.png", "-x")]
    pseudo = open_table(table="run/inference_results.csv", label_column="predicted_class")
    assert names(pseudo)[0] == ("in/-b.png", "'=y")
    write("image_path,fold,true,true_class,predicted,predicted_class\nin/=a.png,0,1,''=y,0,'-x\n")
    shutil.move("labels.csv", "run/out_of_fold.csv")
    assert names(open_table(table="run/out_of_fold.csv")) == [("in/=a.png", "'=y")]


def test_a_column_says_what_is_for_what() -> None:
    save_images(*(f"{i}.png" for i in range(7)))
    words = ["train", "Training", "val", "validation", "VALID", "test", "train"]
    lines = [f"{i}.png,{'ab'[i % 2]},{word}\n" for i, word in enumerate(words)]
    write("image,label,part\n" + "".join(lines))
    data = open_table(table="labels.csv", split_column="part")
    assert data.val is not None
    assert data.test is not None
    parts = [[split.name(i) for i in range(len(split))] for split in (data.val, data.test)]
    assert names(data) == [("0.png", "a"), ("6.png", "a"), ("1.png", "b")]
    assert parts == [["2.png", "4.png", "3.png"], ["5.png"]]


def test_groups_stay_together_and_the_newest_are_for_validation() -> None:
    save_images(*(f"{i:02}.png" for i in range(24)))
    lines = [f"{i:02}.png,{'ab'[i % 2]},p{i // 4},2026/01/{i + 1:02}\n" for i in range(24)]
    write("image,label,patient,day\n" + "".join(lines))
    data = open_table(table="labels.csv", group_by="patient", val_fraction=0.34)
    assert data.val is not None

    def groups(split: Any) -> set[int]:
        return {int(split.name(i)[:2]) // 4 for i in range(len(split))}

    assert groups(data.train) | groups(data.val) == set(range(6))
    assert groups(data.train) & groups(data.val) == set()
    data = open_table(table="labels.csv", split_by_time="day", val_fraction=0.25)
    assert data.val is not None
    assert {data.val.name(i) for i in range(len(data.val))} == {f"{i}.png" for i in range(18, 24)}


def test_times_are_numbers_or_dates() -> None:
    save_images(*(f"{i}.png" for i in range(4)))
    for cells in (
        ["9", "10", "9", "10"],
        ["2026-01-01T10:00+09:00", "2026-01-01 02:00", "2026-01-01T09:30+09:00", "2026-01-02"],
    ):
        lines = [f"{i}.png,{'aabb'[i]},{cell}\n" for i, cell in enumerate(cells)]
        write("image,label,t\n" + "".join(lines))
        data = open_table(table="labels.csv", split_by_time="t", val_fraction=0.5)
        assert data.val is not None
        assert {data.val.name(i) for i in range(2)} == {"1.png", "3.png"}


def test_weights_have_a_mean_of_one_and_follow_their_image() -> None:
    save_images(*(f"{i}.png" for i in range(4)))
    weights = [2, 6, 4, 12]
    lines = [f"{i}.png,{'abab'[i]},{weight}\n" for i, weight in enumerate(weights)]
    write("image,label,w\n" + "".join(lines))
    data = open_table(table="labels.csv", weight_column="w", val_fraction=0.5)
    assert isinstance(data.train, Subset)
    assert data.val is not None
    for split in (data.train, data.val):
        found = weights_of(split)
        assert found is not None
        expected = [weights[int(split.name(i)[0])] / 6 for i in range(len(split))]
        assert found.tolist() == pytest.approx(expected)
    without = open_table(table="labels.csv", val_fraction=0.5)
    assert weights_of(without.train) is None
    assert fingerprint(without) != fingerprint(data)
    write("image,label,w\n0.png,a,7\n1.png,b,7\n")
    assert weights_of(open_table(table="labels.csv", weight_column="w").train) is None


def test_skip_leaves_out_what_is_missing_or_unreadable_with_all_that_stands_beside() -> None:
    save_images(*(f"{i}.png" for i in range(6) if i != 1))
    Path("4.png").write_bytes(b"no picture")
    lines = [f"{i}.png,{'aabbbb'[i]},{i + 1},{'train' if i != 3 else 'val'}\n" for i in range(6)]
    write("image,label,w,part\n" + "".join(lines))
    data = open_table(table="labels.csv", weight_column="w", split_column="part", on_error="skip")
    assert data.skipped == ["1.png: no such file", "4.png: not a picture"]
    assert names(data) == [("0.png", "a"), ("2.png", "b"), ("5.png", "b")]
    found = weights_of(data.train)
    assert found is not None
    assert (found / found[0]).tolist() == pytest.approx([1, 3, 6])
    assert data.val is not None
    assert data.val.name(0) == "3.png"


def test_a_repeated_row_is_used_once_and_mentioned() -> None:
    save_images("0.png", "1.png")
    write("image,label\n0.png,a\n1.png,b\nx/../0.png,a\n")
    data = open_table(table="labels.csv")
    assert names(data) == [("0.png", "a"), ("1.png", "b")]
    assert data.warnings == [
        "data.table lists 1 picture(s) more than once, which are used once: line 4 '0.png' of "
        "'labels.csv'."
    ]


def test_what_was_seen_good_is_not_checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    save_images("0.png", "1.png", "x/0.png", "x/1.png")
    write("image,label\n0.png,a\n1.png,b\n")
    open_table(table="labels.csv")
    seen = []
    monkeypatch.setattr(verify, "decode_rgb", seen.append)
    open_table(table="labels.csv")
    assert seen == []
    Image.new("RGB", (9, 9)).save("1.png")
    open_table(table="labels.csv")
    assert seen == ["1.png"]
    open_table(table="labels.csv", root="x")
    assert seen == ["1.png", "x/0.png", "x/1.png"]
