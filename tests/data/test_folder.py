"""Folders to labelled images: names decide, not the file system."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from pochitrain.data import progress, verify
from pochitrain.data.dataset import fingerprint
from pochitrain.data.folder import list_images, open_folder
from pochitrain.data.split import stratified_split
from pochitrain.error import ConfigError

MakeFolder = Callable[..., Path]


def test_classes_and_files_are_sorted_by_name(tmp_path: Path, make_folder: MakeFolder) -> None:
    root = make_folder(tmp_path / "r", {"zebra": 1, "Cat": 2, "bird": 1})
    data = open_folder(train_root=str(root))
    assert data.class_names == ["Cat", "bird", "zebra"]
    assert list(data.train.labels) == [0, 0, 1, 2]
    assert [data.train.name(i) for i in range(2)] == [
        str(root / "Cat" / "000.png"),
        str(root / "Cat" / "001.png"),
    ]
    assert data.val is None


def test_any_depth_any_case_nothing_hidden(tmp_path: Path) -> None:
    names = ["b.JPG", "a/deep/er.jpeg", "c.webp", "d.TIFF", "e.bmp", "f.tif", "g.PNG"]
    ignored = [".h.png", ".thumbs/i.png", "notes.txt", "j.gif", "png"]
    for name in [*names, *ignored]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list_images(tmp_path) == sorted(str(tmp_path / name) for name in names)


def test_links_are_followed_once(tmp_path: Path, make_folder: MakeFolder) -> None:
    root = make_folder(tmp_path / "root", {"a": 2, "b": 1})
    more = make_folder(tmp_path / "more", {"c": 3})
    (root / "a" / "more").symlink_to(more / "c")
    (root / "a" / "circle").symlink_to(root / "a")
    (root / "b" / "up").symlink_to(root / "b")
    (root / "linked").symlink_to(more / "c")
    data = open_folder(train_root=str(root))
    assert data.class_names == ["a", "b", "linked"]
    assert data.count_per_class(data.train) == [5, 1, 3]


def test_links_back_are_not_followed(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/2.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (tmp_path / "a" / "there").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "back").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    found = [os.path.relpath(path, tmp_path) for path in list_images(tmp_path / "a")]
    assert found == ["a/1.png", "a/there/2.png"]


def test_a_pipe_and_a_name_that_is_no_text_are_named(
    tmp_path: Path, make_folder: MakeFolder
) -> None:
    root = make_folder(tmp_path / "r", {"a": 1, "b": 1})
    os.mkfifo(root / "a" / "pipe.jpg")  # waits for ever when opened
    (root / "a" / "zero.png").symlink_to("/dev/zero")
    (root / "a" / "torn\udcff.png").write_bytes(b"")
    with pytest.raises(ConfigError, match="3 unreadable") as caught:
        open_folder(train_root=str(root))
    assert str(caught.value).count(": not a file") == 2
    assert "torn\udcff.png: not a picture" in str(caught.value)


def test_pictures_outside_the_class_folders_are_mentioned(
    tmp_path: Path, make_folder: MakeFolder
) -> None:
    root = make_folder(tmp_path / "r", {"a": 1, "b": 1})
    assert open_folder(train_root=str(root)).warnings == []
    for name in ("x.jpg", "notes.txt", ".hidden.png", "y.PNG"):
        (root / name).touch()
    data = open_folder(train_root=str(root), val_root=str(root))
    assert data.warnings == [
        f"{key} holds 2 picture(s) outside its class folders, which are not used: x.jpg, y.PNG."
        for key in ("data.train_root", "data.val_root")
    ]
    assert len(data.train) == 2


def test_hidden_class_folders_are_ignored(tmp_path: Path, make_folder: MakeFolder) -> None:
    root = make_folder(tmp_path / "r", {"a": 1, ".cache": 1})
    (root / "README.txt").touch()
    assert open_folder(train_root=str(root)).class_names == ["a"]


def test_validation_is_mapped_by_name(tmp_path: Path, make_folder: MakeFolder) -> None:
    train = make_folder(tmp_path / "train", {"ant": 1, "bee": 1, "cat": 1})
    val = make_folder(tmp_path / "val", {"bee": 2, "cat": 1})  # without an image of an ant
    data = open_folder(train_root=str(train), val_root=str(val))
    assert data.val is not None
    assert list(data.val.labels) == [1, 1, 2]
    assert data.count_per_class(data.val) == [0, 2, 1]


def test_unknown_validation_class_is_named(tmp_path: Path, make_folder: MakeFolder) -> None:
    train = make_folder(tmp_path / "train", {"ant": 1, "bee": 1})
    val = make_folder(tmp_path / "val", {"ant": 1, "wasp": 1})
    with pytest.raises(ConfigError, match=r"^data\.val_root must only hold .*'wasp'.*: ant, bee\."):
        open_folder(train_root=str(train), val_root=str(val))


def test_all_unreadable_pictures_of_both_roots(tmp_path: Path, make_folder: MakeFolder) -> None:
    train = make_folder(tmp_path / "train", {"ant": 2, "bee": 2})
    (train / "ant" / "x.png").write_bytes(b"")
    (train / "bee" / "y.jpg").write_bytes(b"hello")
    with pytest.raises(ConfigError, match=r"holds 2 unreadable(.|\n)*ant/x\.png(.|\n)*bee/y\.jpg"):
        open_folder(train_root=str(train))
    data = open_folder(train_root=str(train), on_error="skip")
    assert len(data.train) == 4
    assert data.skipped == [
        f"{train}/ant/x.png: not a picture",
        f"{train}/bee/y.jpg: not a picture",
    ]


@pytest.mark.parametrize("on_error", ["error", "skip"])
def test_a_link_to_nothing_is_named(tmp_path: Path, make_folder: MakeFolder, on_error: str) -> None:
    root = make_folder(tmp_path / "r", {"ant": 1, "bee": 2})
    (root / "bee" / "lost.png").symlink_to(tmp_path / "nowhere.png")
    if on_error == "skip":
        data = open_folder(train_root=str(root), on_error="skip")
        assert data.skipped == [f"{root}/bee/lost.png: the file is gone"]
        assert len(data.train) == 3
    else:
        with pytest.raises(
            ConfigError, match=r"holds 1 unreadable(.|\n)*lost\.png: the file is gone"
        ):
            open_folder(train_root=str(root))


def test_a_class_must_not_be_skipped_away(tmp_path: Path, make_folder: MakeFolder) -> None:
    root = make_folder(tmp_path / "r", {"ant": 2})
    (root / "bee").mkdir()
    (root / "bee" / "x.png").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"leaves class 'bee' without pictures"):
        open_folder(train_root=str(root), on_error="skip")


def test_good_pictures_are_decoded_once_and_changed_ones_again(
    tmp_path: Path, make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder(tmp_path / "r", {"a": 3, "b": 1})
    decoded: list[str] = []
    real = verify.decode_rgb

    def count(path: str) -> Image.Image:
        decoded.append(Path(path).name)
        return real(path)

    monkeypatch.setattr(verify, "decode_rgb", count)
    open_folder(train_root=str(root))
    assert len(decoded) == 4
    open_folder(train_root=str(root))
    assert len(decoded) == 4
    path = root / "a" / "001.png"
    path.write_bytes(b"broken")
    os.utime(path, ns=(1, 1))
    with pytest.raises(ConfigError, match=r"a/001\.png: not a picture"):
        open_folder(train_root=str(root))
    assert decoded[4:] == ["001.png"]


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than three files count as many."""
    monkeypatch.setattr(verify, "SMALL_FILES", 3)


@pytest.mark.usefixtures("large")
def test_of_a_large_set_only_the_first_bytes_are_read(
    tmp_path: Path, make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder(tmp_path / "r", {"a": 3, "b": 2})
    torn = root / "a" / "001.png"
    torn.write_bytes(torn.read_bytes()[:200])
    assert len(open_folder(train_root=str(root)).train) == 5  # found when it is read
    os.mkfifo(root / "b" / "pipe.jpg")
    (root / "b" / "lost.png").symlink_to(tmp_path / "nowhere")
    (root / "b" / "text.webp").write_text("hello")
    with pytest.raises(ConfigError, match="holds 3 unreadable") as caught:
        open_folder(train_root=str(root))
    for line in ("pipe.jpg: not a file", "lost.png: the file is gone", "text.webp: not a picture"):
        assert line in str(caught.value)
    skipping = open_folder(train_root=str(root), on_error="skip")
    assert len(skipping.train) == 4  # all pixels are read, or it could not be left out
    assert sum("001.png" in line for line in skipping.skipped) == 1


def test_a_long_check_shows_how_far_it_is(
    tmp_path: Path,
    make_folder: MakeFolder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = make_folder(tmp_path / "r", {"a": 20})
    open_folder(train_root=str(root))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "QUIET_S", 0.0)
    monkeypatch.setattr(progress, "FIRST_LINE_S", 0.0)
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    open_folder(train_root=str(make_folder(tmp_path / "s", {"a": 20})))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Listing pictures: 1"
    assert lines[-1] == "Checking pictures: 20 of 20"


def test_a_check_that_was_stopped_goes_on_where_it_was(
    tmp_path: Path, make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder(tmp_path / "r", {"a": 40})
    asked: list[str] = []

    def stop(self: object, num: int = 1) -> None:
        if num > 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(progress.WaitDisplay, "advance", stop)
        open_folder(train_root=str(root))
    monkeypatch.setattr(verify, "reason_unreadable", asked.append)
    open_folder(train_root=str(root))
    assert len(asked) == 24  # 16 were done


def test_split_is_stratified_seeded_and_complete() -> None:
    labels = [0] * 50 + [1] * 10 + [2] * 3 + [3]
    train, val = stratified_split(labels, 0.2, seed=5)
    assert sorted(train + val) == list(range(64))
    assert [sum(labels[i] == c for i in val) for c in range(4)] == [10, 2, 1, 0]
    assert stratified_split(labels, 0.2, seed=5) == (train, val)
    assert stratified_split(labels, 0.2, seed=6) != (train, val)
    # The class decides, not what else is in the data: class 0 is split the same without the others.
    assert [i for i in val if i < 50] == stratified_split(labels[:50], 0.2, seed=5)[1]


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_split_leaves_every_class_on_both_sides(fraction: float) -> None:
    labels = [0] * 10 + [1] * 2
    train, val = stratified_split(labels, fraction, seed=0)
    assert {labels[i] for i in train} == {labels[i] for i in val} == {0, 1}


def test_val_fraction_of_a_folder(tmp_path: Path, make_folder: MakeFolder) -> None:
    root = make_folder(tmp_path / "r", {"a": 10, "b": 5})
    data = open_folder(train_root=str(root), val_fraction=0.2, seed=1)
    assert data.val is not None
    assert data.count_per_class(data.train) == [8, 4]
    assert data.count_per_class(data.val) == [2, 1]
    names = {data.train.name(i) for i in range(12)} | {data.val.name(i) for i in range(3)}
    assert len(names) == 15


def test_roots_and_groups_of_a_folder(tmp_path: Path, make_folder: MakeFolder) -> None:
    root = make_folder(tmp_path / "r", {"a": 10, "b": 10})
    test = make_folder(tmp_path / "t", {"b": 3})
    data = open_folder(
        train_root=str(root), test_root=str(test), val_fraction=0.2, group_by=r"/(\d\d\d)\."
    )
    assert data.val is not None and data.test is not None
    assert [data.test.name(i) for i in range(3)] == [
        str(test / "b" / f"00{i}.png") for i in range(3)
    ]
    assert data.count_per_class(data.test) == [0, 3]  # by name, not by position
    sides = [{Path(part.name(i)).name for i in range(len(part))} for part in (data.train, data.val)]
    assert not sides[0] & sides[1] and len(sides[0] | sides[1]) == 10
    assert data.division == "8 + 2 groups, none of them on two sides"
    assert data.train_groups == [Path(data.train.name(i)).stem for i in range(16)]


def test_the_fingerprint_knows_the_groups_and_not_the_test(
    tmp_path: Path, make_folder: MakeFolder
) -> None:
    root = make_folder(tmp_path / "r", {"a": 10, "b": 10})
    for name in ("a", "b"):
        for i in range(10):  # two folders of the same names: lot0, lot1
            target = root / name / f"lot{i % 5}" / f"{i // 5}.png"
            target.parent.mkdir(exist_ok=True)
            (root / name / f"{i:03d}.png").rename(target)
    options = {"train_root": str(root), "val_fraction": 0.2, "group_by": "lot."}
    before = fingerprint(open_folder(**options))
    assert fingerprint(open_folder(**options, test_root=str(root))) == before
    for name in ("a", "b"):
        (root / name / "lot4").rename(root / name / "lot9")  # the same order and base names
    assert fingerprint(open_folder(**{**options, "group_by": "lot(.)"})) != before


def test_folds_of_a_folder_by_file_time(tmp_path: Path, make_folder: MakeFolder) -> None:
    root = make_folder(tmp_path / "r", {"a": 6, "b": 6})
    for name in ("a", "b"):
        for i in range(6):
            os.utime(root / name / f"{i:03d}.png", (1000 - i, 1000 - i))
    data = open_folder(train_root=str(root), val_fraction=0.3, split_by_time="file")
    assert data.val is not None
    assert [Path(data.val.name(i)).name for i in range(len(data.val))] == ["000.png", "001.png"] * 2
