"""Tables with mistakes: one message that names the lines, exit code 2, nothing left behind."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

GOOD = "image,label,split\ncat0.png,cat,train\ncat1.png,cat,val\ndog0.png,dog,train\n"
COLUMNS = "Columns: image, label, split."


def write(folder: Path, content: str | bytes, name: str = "labels.csv") -> None:
    for kind in ("cat", "dog"):
        for i in range(3):
            Image.new("RGB", (40, 40)).save(folder / f"{kind}{i}.png")
    (folder / "text.png").write_text("no picture")
    data = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(data)


BROKEN: list[tuple[str, str | bytes, str, str]] = [
    # name of the file, its content, what is typed besides, the message (" ..." leaves the end open)
    (
        "labels.xlsx",
        b"PK",
        "",
        "data.table must be a file with the ending .csv, .tsv or .parquet, got 'labels.xlsx'. "
        "Save it as one of these.",
    ),
    (
        "other.csv",
        GOOD,
        "",
        "data.table must be a file with the ending .csv, .tsv or .parquet, got 'labels.csv', which "
        "is not there. ...",
    ),
    ("labels.csv", "", "", "data.table must be a table that begins with names of columns, got ..."),
    (
        "labels.csv",
        "image,label\n\n,\n",
        "",
        "data.table must be a table with a row for each picture, got 'labels.csv'.",
    ),
    (
        "labels.csv",
        "image,label,label\n",
        "",
        "data.table must be a table whose columns have different names, got 'label'.",
    ),
    (
        "labels.csv",
        "photo,kind\ncat0.png,cat\n",
        "",
        "data.table must be a table with a column called image_path, image, path, file_path, file, "
        "filename or file_name, got 'labels.csv' with photo, kind. Say which it is: "
        "data.image_column=NAME.",
    ),
    (
        "labels.csv",
        "image,kind\ncat0.png,cat\n",
        "",
        "data.table must be a table with a column called label, class, class_name or true_class, "
        "got 'labels.csv' with image, kind. Say which it is: data.label_column=NAME.",
    ),
    (
        "labels.csv",
        GOOD,
        "data.label_column=lable",
        "data.label_column must be a column of 'labels.csv', got 'lable'. Did you mean label? "
        + COLUMNS,
    ),
    (
        "labels.csv",
        GOOD,
        "data.weight_column=price",
        f"data.weight_column must be a column of 'labels.csv', got 'price'. {COLUMNS}",
    ),
    (
        "labels.csv",
        GOOD,
        "data.group_by=patient data.val_fraction=0.3",
        f"data.group_by must be a column of 'labels.csv', got 'patient'. {COLUMNS}",
    ),
    (
        "labels.csv",
        "image,label\ncat0.png,cat\ncat1.png\ncat2.png,cat,,\n",
        "",
        "data.table must have 2 cells in every line, as in its header, got 1 in line 3, 4 in line "
        "4 of 'labels.csv'. Text with the separator ',' in it must stand in quotation marks.",
    ),
    (
        "labels.csv",
        'image,label\ncat0.png,cat\n"cat1.png,cat\ndog0.png,dog\n',
        "",
        "data.table must be a table that can be read, got 'labels.csv' with a mistake in the "
        "record that begins in line 3: unexpected end of data. Is a quotation mark open?",
    ),
    (
        "labels.csv",
        "image,label\ncat0.png,cat\nゾウ.png,象\n".encode("cp932"),
        "",
        "data.table must be text in utf-8, got byte 0x83 in line 3 of 'labels.csv'. Save it as "
        "UTF-8, or say what it is: data.encoding=cp932 (Shift JIS, as Excel writes CSV in "
        "Japanese) or cp1252 (western Europe).",
    ),
    (
        "labels.csv",
        "image,label\ncat0.png,猫\n",
        "data.encoding=ascii",
        "data.table must be text in ascii, got byte 0xe7 in line 2 of 'labels.csv'. Change "
        "data.encoding.",
    ),
    (
        "labels.csv",
        "image,label\n" + "".join(f"{i}.png,cat\n" for i in range(7)) + "dog0.png,dog\n",
        "",
        "data.table must list pictures that are there, got 7 of 8 that are not: line 2 '0.png', "
        "line 3 '1.png', line 4 '2.png', line 5 '3.png', line 6 '4.png' and 2 more of "
        "'labels.csv'. They are looked up from ...",
    ),
    (
        "labels.csv",
        "image,label\ncat0.png,cat\nsub\\dog0.png,dog\n",
        "",
        "data.table must list pictures that are there, got 1 of 2 that are not: line 3 ...",
    ),
    (
        "labels.csv",
        GOOD,
        "data.root=nosuch",
        "data.root must be the folder that the paths in the table begin at, got 'nosuch', which "
        "is not there. ...",
    ),
    (
        "labels.csv",
        "image,label,split\ncat0.png,cat,train\ndog0.png,dog,train\ndog1.png,dog,test\n",
        "data.split_column=split early_stopping.enabled=true",
        "early_stopping.enabled must be false without validation pictures, got True. ...",
    ),
    (
        "labels.csv",
        "image,label\ncat\0.png,cat\ndog0.png,dog\n",
        "",
        "data.table must list pictures that are there, got 1 of 2 that are not: line 2 "
        "'cat\\x00.png' of 'labels.csv'. ...",
    ),
    (
        "labels.csv",
        GOOD,
        "data.root=folder data.on_error=skip",
        "data.table must list pictures that are there, got 3 of 3 that are not: ...",
    ),
    (
        "labels.csv",
        "image,label\ncat0.png,cat\ndog0.png,dog\n\n./cat0.png,dog\n",
        "",
        "data.table must say one thing about each picture, got 'cat0.png' with label_column 'cat' "
        "in line 2 and 'dog' in line 5 of 'labels.csv'.",
    ),
    (
        "labels.csv",
        GOOD + "cat1.png,cat,train\n",
        "data.split_column=split",
        "data.table must say one thing about each picture, got 'cat1.png' with split_column 'val' "
        "in line 3 and 'train' in line 5 of 'labels.csv'.",
    ),
    (
        "labels.csv",
        "image,label\ncat0.png,cat\ncat1.png,\ndog0.png, \n",
        "",
        "data.label_column must have a value in every row, got none in line 3, line 4 of "
        "'labels.csv'. Fill it in, or delete the row.",
    ),
    (
        "labels.csv",
        "image,label\ncat0.png,cat\n,cat\n",
        "",
        "data.image_column must name a picture in every row, got none in line 3 of 'labels.csv'.",
    ),
    (
        "labels.csv",
        GOOD + "dog1.png,dog,holdout\ndog2.png,dog,2\n",
        "data.split_column=split",
        "data.split_column must hold train, val or test in every row, got line 5 'holdout', "
        "line 6 '2' of 'labels.csv'.",
    ),
    (
        "labels.csv",
        GOOD.replace("train", "test"),
        "data.split_column=split",
        "data.split_column must say train in some rows, got none in 'labels.csv'.",
    ),
    (
        "labels.csv",
        "image,label,w\ncat0.png,cat,1\ncat1.png,cat,0\ndog0.png,dog,heavy\ndog1.png,dog,inf\n",
        "data.weight_column=w",
        "data.weight_column must hold numbers > 0, got line 3 '0', line 4 'heavy', line 5 'inf' "
        "of 'labels.csv'.",
    ),
    (
        "labels.csv",
        "image,label,day\ncat0.png,cat,2026-01-31\ncat1.png,cat,2026-02-31\ndog0.png,dog,soon\n",
        "data.split_by_time=day data.val_fraction=0.3",
        "data.split_by_time must hold numbers or dates (2026-01-31 12:00:00) in every row, got "
        "line 3 '2026-02-31', line 4 'soon' of 'labels.csv'.",
    ),
    (
        "labels.csv",
        "image,label,who\ncat0.png,cat,\ncat1.png,cat,b\ndog0.png,dog,c\n",
        "data.group_by=who data.val_fraction=0.3",
        "data.group_by must have a value in every row, got none in line 2 of 'labels.csv'. ...",
    ),
    (
        "labels.csv",
        "image,label\ncat0.png,cat\ntext.png,dog\n",
        "",
        "data holds 1 unreadable picture(s):\n  text.png: not a picture\nRepair or delete them, "
        "or train without them: data.on_error=skip.",
    ),
    (
        "labels.parquet",
        b"PAR1, but nothing more",
        "data.table=labels.parquet",
        "data.table must be a Parquet file, got 'labels.parquet', which cannot be read: ...",
    ),
]


@pytest.mark.parametrize(("name", "content", "typed", "message"), BROKEN)
def test_broken_table(
    pochi: Callable, tmp_path: Path, name: str, content: str | bytes, typed: str, message: str
) -> None:
    write(tmp_path, content, name)
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    table = "labels.xlsx" if name == "labels.xlsx" else "labels.csv"
    words = ["data=table", *([] if "data.table=" in typed else [f"data.table={table}"])]
    outcome = pochi(*words, *typed.split(), "transform.size=32", "epochs=1", "device=cpu")
    assert outcome.code == 2
    assert outcome.out == ""
    if message.endswith("..."):
        assert outcome.err.startswith(message.removesuffix("...").rstrip())
        assert outcome.err.count("\n") == 1
    else:
        assert outcome.err == message + "\n"
    assert sorted(tmp_path.rglob("*")) == before
