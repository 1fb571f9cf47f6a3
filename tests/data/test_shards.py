"""Images in tar files are the images that were put there."""

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pochitrain.data import member as member_module
from pochitrain.data import shard_index, verify
from pochitrain.data.dataset import DataSplits, Subset
from pochitrain.data.decode import decode_rgb, upright_size
from pochitrain.data.index import file_stamp
from pochitrain.data.member import find_member, member_path, read_member
from pochitrain.data.shards import open_shards
from pochitrain.data.twins import find_twins
from pochitrain.error import ConfigError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(member_module, "_handles", {})


def picture(level: int, width: int = 9) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, 7), (level, 0, 0)).save(file, "PNG")
    return file.getvalue()


def write_tar(path: str, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


def write_shards(num_shards: int = 2, per_shard: int = 6) -> None:
    for shard in range(num_shards):
        files = {}
        for i in range(per_shard):
            level = shard * per_shard + i
            files[f"s{level:03}.png"] = picture(level)
            files[f"s{level:03}.cls"] = b"10" if i % 2 else b"9\n"
        write_tar(f"train-{shard}.tar", files)


def levels(data: DataSplits) -> list[tuple[int, str]]:
    """Red of each training image, and its class."""
    labels = np.asarray(data.train.labels).tolist()
    found = []
    for i, label in enumerate(labels):
        red = int(np.asarray(data.train.load(i))[0, 0, 0])
        found.append((red, data.class_names[label]))
    return found


def test_images_and_labels_in_the_order_of_the_shards() -> None:
    write_shards()
    data = open_shards(train_shards="train-*.tar")
    assert data.class_names == ["9", "10"]
    assert levels(data) == [(i, "10" if i % 2 else "9") for i in range(12)]
    assert data.train.size(3) == (9, 7)
    assert data.train.name(7).startswith("train-1.tar/@")
    assert data.train.name(7).endswith("/s007.png")
    assert data.val is None


@pytest.mark.parametrize(
    ("files", "label"),
    [
        ({"a/x.y/k.JPG": picture(5), "a/x.y/k.cls": b"3"}, "3"),
        ({"k.txt": "ガ\n".encode(), "k.png": picture(5)}, "ガ"),
        ({"k.png": picture(5), "k.json": b'{"label": 4, "text": "a cat"}'}, "4"),
        ({"k.json": b"{", "k.cls": b"1", "k.seg.png": b"", "k.png": picture(5)}, "1"),
        ({"other.json": b"{}", "k.png": picture(5), "k.CLS": b"1", "README": b""}, "1"),
    ],
)
def test_kinds_of_samples(files: dict[str, bytes], label: str) -> None:
    write_tar("a.tar", files)
    assert levels(open_shards(train_shards="a.tar")) == [(5, label)]


def test_splits_and_test() -> None:
    write_shards(2, 20)
    data = open_shards(train_shards="*.tar", val_fraction=0.2, test_fraction=0.1)
    assert isinstance(data.train, Subset)
    assert [len(part) for part in (data.train, data.val, data.test) if part] == [28, 8, 4]
    write_tar("val.tar", {"z.png": picture(200), "z.cls": b"9"})
    data = open_shards(train_shards="train*.tar", val_shards="val.tar")
    assert data.val is not None
    assert np.asarray(data.val.labels).tolist() == [0]


MISTAKES: list[tuple[dict[str, bytes], dict[str, str], str]] = [
    ({}, {"train_shards": "no-*.tar"}, "data.train_shards must be the path of tar files, or a "),
    ({}, {"train_shards": "text.tar"}, "data.train_shards must match tar files that can be read, "),
    ({}, {"train_shards": "x.tar.gz"}, "data.train_shards must match uncompressed tar files "),
    ({"README": b""}, {}, "data.train_shards must hold pictures (.jpg "),
    (
        {"a.png": picture(1), "b.png": picture(1), "b.cls": b"1", "c.jpg": b"", "c.txt": b" "},
        {},
        "data.train_shards must hold one picture and a label for each key, got 'a' without a label "
        "(.cls, .txt, .json with 'label'), 'c' without a label (.cls, .txt, .json with 'label') in "
        "'a.tar'.",
    ),
    (
        {"a.png": picture(1), "a.json": b"[" * 100_000},
        {},
        "data.train_shards must hold one picture and a label for each key, got 'a' without a label",
    ),
    (
        {"a.png": picture(1), "a.jpg": picture(1), "a.cls": b"1"},
        {},
        "data.train_shards must hold one picture and a label for each key, got 'a' with several "
        "pictures (png, jpg) in 'a.tar'.",
    ),
    (
        {"a.png": picture(1), "a.cls": b"1"},
        {"val_shards": "b.tar"},
        "data.val_shards must only hold classes of data.train_shards, got '2'. Classes: 1.",
    ),
    (
        {"a.png": picture(1), "a.cls": b"1"},
        {"val_shards": "*.tar", "train_shards": "a.tar"},
        "data.val_shards must match tar files that can be read, got 'text.tar': ",
    ),
    (
        {"a.png": picture(1), "a.cls": b"1"},
        {"val_shards": "?.tar", "train_shards": "./a.tar"},
        "data.val_shards must match other files than data.train_shards, got 'a.tar' in both.",
    ),
]


@pytest.mark.parametrize(("files", "given", "message"), MISTAKES)
def test_mistakes(files: dict[str, bytes], given: dict[str, str], message: str) -> None:
    write_tar("a.tar", files)
    write_tar("b.tar", {"b.png": picture(1), "b.cls": b"2"})
    Path("text.tar").write_text("no tar")
    Path("x.tar.gz").touch()
    with pytest.raises(ConfigError) as caught:
        open_shards(**{"train_shards": "a.tar", **given})
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_key_that_comes_twice_is_refused() -> None:
    with tarfile.open("a.tar", "w") as tar:
        for _ in range(2):
            for name, content in {"a.png": picture(1), "a.cls": b"1"}.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    with pytest.raises(ConfigError, match=r"got 'a\.png' twice, 'a\.cls' twice in"):
        open_shards(train_shards="a.tar")


def test_a_header_with_an_impossible_size_is_refused() -> None:
    write_tar("a.tar", {"a.png": picture(1), "a.cls": b"1"})
    with tarfile.open("a.tar") as tar:
        entry = tar.getmembers()[0]
    entry.size = 2**70
    content = Path("a.tar").read_bytes()
    Path("a.tar").write_bytes(entry.tobuf(tarfile.GNU_FORMAT) + content[512:])
    with pytest.raises(ConfigError, match=r"^data\.train_shards must match tar files that can be"):
        open_shards(train_shards="a.tar")


def test_a_link_is_refused_and_not_left_out() -> None:
    with tarfile.open("a.tar", "w") as tar:
        entry = tarfile.TarInfo("a.png")
        entry.type, entry.linkname = tarfile.LNKTYPE, "b.png"
        tar.addfile(entry)
    with pytest.raises(ConfigError, match=r"got 'a\.png', which is a link or a sparse file in"):
        open_shards(train_shards="a.tar")


def test_leaks_between_shards_are_found() -> None:
    write_tar("a.tar", {"a.png": picture(1), "a.cls": b"1", "b.png": picture(2), "b.cls": b"1"})
    write_tar("b.tar", {"x.png": picture(3), "x.cls": b"1", "y.png": picture(2), "y.cls": b"1"})
    data = open_shards(train_shards="a.tar", val_shards="b.tar")
    assert data.val is not None
    found = find_twins(data.train, data.val)
    assert found is not None
    assert found.same == {1: 1}


def test_unreadable_pictures_are_named_or_left_out() -> None:
    files = {"a.png": picture(1), "a.cls": b"1", "b.png": b"no picture", "b.cls": b"1"}
    write_tar("a.tar", files)
    with pytest.raises(ConfigError, match=r"1 unreadable picture\(s\):\n  a\.tar/@\d+\+10/b\.png"):
        open_shards(train_shards="a.tar")
    data = open_shards(train_shards="a.tar", on_error="skip")
    assert len(data.train) == 1
    assert data.skipped[0].endswith("/b.png: not a picture")


def test_a_shard_is_listed_and_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    write_shards()
    first = levels(open_shards(train_shards="train-*.tar"))
    listed: list[str] = []
    checked: list[str] = []
    real = shard_index.list_shard

    def list_and_note(path: str, key: str, label_key: str) -> object:
        listed.append(path)
        return real(path, key, label_key)

    monkeypatch.setattr(shard_index, "list_shard", list_and_note)
    monkeypatch.setattr(verify, "decode_rgb", checked.append)
    assert levels(open_shards(train_shards="train-*.tar")) == first
    assert (listed, checked) == ([], [])
    write_tar("train-1.tar", {"n.png": picture(99), "n.cls": b"9"})
    data = open_shards(train_shards="train-*.tar")
    assert levels(data)[6:] == [(99, "9")]
    assert listed == ["train-1.tar"]
    assert [path.rpartition("/")[2] for path in checked] == ["n.png"]


def test_only_the_wanted_bytes_are_read() -> None:
    write_tar("a.tar", {"a.bin": b"0123456789", "b.bin": b"xyz"})
    where = find_member(member_path("a.tar", 512, 10, "a.bin"))
    assert where is not None
    assert read_member(where) == b"0123456789"
    assert read_member(where, 4) == b"0123"
    assert file_stamp("a.tar/@512+10/a.bin") == (10, os.stat("a.tar").st_mtime_ns)
    assert file_stamp("a.tar/@512+99999/a.bin") == (-1, 0)
    assert file_stamp("gone.tar/@512+9/a.bin") == (-1, 0)
    for path in ("a.tar", "a.tar/b.jpg", "a.tar/@x+1/b.jpg", "b/@1+2/c.jpg"):
        assert find_member(path) is None


def test_more_shards_than_are_kept_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member_module, "MAX_OPEN", 2)
    write_shards(5, 2)
    data = open_shards(train_shards="train-*.tar")
    assert [level for level, _ in levels(data)] == list(range(10))
    assert len(member_module._handles) == 2


def test_a_member_decodes_as_its_file_does(make_folder: Callable[..., Path]) -> None:
    root = make_folder(Path("photos"), {"a": 3})
    with tarfile.open("a.tar", "w") as tar:
        for path in sorted(root.rglob("*.png")):
            tar.add(path)
    with tarfile.open("a.tar") as tar:
        for entry in tar:
            inside = member_path("a.tar", entry.offset_data, entry.size, entry.name)
            assert decode_rgb(inside).tobytes() == decode_rgb(entry.name).tobytes()
            assert upright_size(inside) == upright_size(entry.name)
