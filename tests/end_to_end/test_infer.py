"""`pochi infer`, on a model that was really trained and on folders of all kinds."""

import csv
import io
import json
import os
import shutil
import struct
import weakref
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint_factory import checkpoint_content
from PIL import Image
from sklearn.metrics import classification_report

from pochitrain.data.decode import UnreadableImageError
from pochitrain.inference.table import PredictionRow
from pochitrain.run.mistakes import gallery

Pochi = Callable[..., Any]
TINY = (
    "model=torchvision",
    "model.name=shufflenet_v2_x0_5",
    "epochs=1",
    "data.image_size=32",
    "metrics.export=true",
)


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def answers_in(folder: Path) -> dict[str, dict[str, str]]:
    return {Path(row["image_path"]).name: row for row in rows_of(folder / "inference_results.csv")}


@pytest.mark.slow
def test_a_trained_run_is_reproduced_after_moving(pochi: Pochi, tmp_path: Path) -> None:
    assert pochi(*TINY).code == 0
    (run,) = (tmp_path / "outputs").iterdir()
    moved = tmp_path / "elsewhere" / "model 一"
    moved.parent.mkdir()
    shutil.move(run, moved)

    outcome = pochi(str(moved), command="infer", prog="pochi")

    assert outcome.code == 0, outcome.err
    best = max(float(row["val_accuracy"]) for row in rows_of(moved / "training_metrics.csv"))
    folder = moved / "inference"
    summary = json.loads((folder / "inference_summary.json").read_text())
    assert summary["accuracy"] == best  # to the last digit
    assert summary["images"] == 359
    assert (folder / "confusion_matrix.png").stat().st_size > 10_000
    rows = rows_of(folder / "inference_results.csv")
    truth, found = ([row[key] for row in rows] for key in ("true_class", "predicted_class"))
    expected = classification_report(truth, found, output_dict=True, zero_division=0)
    report = {row["class"]: row for row in rows_of(folder / "classification_report.csv")}
    for name in [*map(str, range(10)), "macro avg", "weighted avg"]:
        for key in ("precision", "recall", "f1-score", "support"):
            assert float(report[name][key]) == pytest.approx(expected[name][key], abs=1e-9)
    mistakes = sum(row["correct"] == "False" for row in rows)
    page = (folder / "mistakes.html").read_text(encoding="utf-8")
    assert page.count("<figure") == min(mistakes, 200)
    assert "http" not in page.replace("http-equiv", "")  # nothing is loaded from elsewhere

    assert pochi(str(moved), "--config", "no.py", command="infer", prog="pochi").code == 2


def test_a_folder_without_a_class_and_one_with_a_foreign_one(
    pochi: Pochi, make_run: Callable[..., Path], make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    run = make_run(["ant", "bee", "cat"])
    data = make_folder(tmp_path / "data", {"bee": 3, "cat": 2})
    assert pochi(str(run), "--data", str(data), command="infer", prog="pochi").code == 0
    rows = rows_of(run / "inference" / "inference_results.csv")
    assert [row["true"] for row in rows] == ["1", "1", "1", "2", "2"]
    report = {row["class"]: row for row in rows_of(run / "inference" / "classification_report.csv")}
    assert report["ant"]["support"] == "0"
    assert report["bee"]["support"] == "3"

    make_folder(tmp_path / "more", {"bee": 1, "wasp": 1})
    outcome = pochi(str(run), "--data", str(tmp_path / "more"), command="infer", prog="pochi")
    assert outcome.code == 2
    assert "'wasp'" in outcome.err
    assert "Traceback" not in outcome.err


def test_pictures_without_classes(
    pochi: Pochi, make_run: Callable[..., Path], make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    run = make_run(["ant", "bee"])
    make_folder(tmp_path / "data", {"holiday": 3})
    out = tmp_path / "out"
    words = (str(run), "--data", str(tmp_path / "data"), "--output", str(out))
    assert pochi(*words, command="infer", prog="pochi").code == 0
    rows = rows_of(out / "inference_results.csv")
    assert len(rows) == 3
    assert {row["true"] for row in rows} == {""}
    assert not (out / "classification_report.csv").exists()
    assert "accuracy" not in json.loads((out / "inference_summary.json").read_text())


def test_one_picture_prints_the_classes(
    pochi: Pochi, make_run: Callable[..., Path], make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    run = make_run(["ant", "bee"])
    make_folder(tmp_path / "data", {"a": 1})
    image = str(tmp_path / "data" / "a" / "000.png")
    outcome = pochi(str(run), "--data", image, command="infer", prog="pochi")
    assert outcome.code == 0
    assert "ant" in outcome.out
    assert "bee" in outcome.out
    assert outcome.out.count("%") == 2
    assert not (run / "inference").exists()


def test_validation_data_that_is_gone(pochi: Pochi, make_run: Callable[..., Path]) -> None:
    outcome = pochi(str(make_run(["ant", "bee"])), command="infer", prog="pochi")
    assert outcome.code == 2
    assert "data.val_root of the run, 'no/val', is not there" in outcome.err
    assert "--data DIR" in outcome.err


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims to be very large and holds nothing."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    data = zlib.compress(b"\0" * 100)
    idat = (
        struct.pack(">I", len(data))
        + b"IDAT"
        + data
        + struct.pack(">I", zlib.crc32(b"IDAT" + data))
    )
    return b"\x89PNG\r\n\x1a\n" + chunk + idat


def write_odd_files(folder: Path) -> None:
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, (40, 30, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    (folder / "empty.jpg").write_bytes(b"")
    image.save(folder / "truncated.jpg", quality=95)
    content = (folder / "truncated.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(content[: len(content) // 2])
    (folder / "page.jpg").write_text("<html><body>404</body></html>")
    (folder / "bomb.png").write_bytes(png_header(60_000, 60_000))
    image.convert("CMYK").save(folder / "cmyk.jpg")
    grey16 = generator.integers(0, 65536, (20, 20), dtype=np.uint16)
    Image.fromarray(grey16).save(folder / "grey16.png")
    image.convert("P").save(folder / "palette.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(folder / "rotated.jpg", exif=exif)
    image.crop((0, 0, 1, 1)).save(folder / "pixel.png")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "torn\udcff.jpg").write_bytes(content[:50])
    image.crop((0, 0, 30, 1)).resize((30_000, 1)).save(folder / "strip.png")
    image.save(folder / "animated.webp", save_all=True, append_images=[image.rotate(90)])


def test_odd_and_broken_files_are_answered_or_reported(
    pochi: Pochi, make_run: Callable[..., Path], tmp_path: Path
) -> None:
    import resource

    run = make_run(["ant", "bee"])
    write_odd_files(tmp_path / "data" / "bee")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome = pochi(
        str(run), "--data", str(tmp_path / "data"), "--num-workers", "0",
        command="infer", prog="pochi",
    )  # fmt: skip
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert outcome.code == 0, outcome.err
    assert grown_kib < 500_000  # the bomb would be 10.8 GB
    rows = answers_in(run / "inference")
    unreadable = {name for name, row in rows.items() if row["predicted"] == ""}
    assert unreadable == {
        "empty.jpg", "truncated.jpg", "page.jpg", "bomb.png", "pipe.jpg",
        "torn\\udcff.jpg",
    }  # fmt: skip
    assert all(rows[name]["error"] for name in unreadable)
    assert all(rows[name]["true_class"] == "bee" for name in rows)
    assert all(name in outcome.out for name in unreadable)
    summary = json.loads((run / "inference" / "inference_summary.json").read_text())
    assert (summary["images"], summary["unreadable"]) == (13, 6)
    right = sum(row["correct"] == "True" for row in rows.values())
    assert summary["accuracy"] == 100 * right / 7


def test_only_broken_files(pochi: Pochi, make_run: Callable[..., Path], tmp_path: Path) -> None:
    data = tmp_path / "data" / "bee"
    data.mkdir(parents=True)
    (data / "a.jpg").write_bytes(b"")
    outcome = pochi(
        str(make_run(["ant", "bee"])), "--data", str(tmp_path / "data"),
        command="infer", prog="pochi",
    )  # fmt: skip
    assert "Traceback" not in outcome.err
    assert "a.jpg" in outcome.out + outcome.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "RUN must be a run directory"),
        (["RUN", "--data", "nowhere"], "--data must be a folder, a picture or a table"),
        (["RUN", "--top-k", "0"], "must be an integer >= 1"),
        (["RUN", "--batch-size", "x"], "must be an integer >= 1"),
        (["RUN", "--device", "cuda:99"], "device must be available"),
        (["RUN", "--data", "data", "--output", "file"], "--output must be a folder"),
        (["RUN", "--data", "data", "--output", "file/x"], "--output must be a folder"),
        (["RUN", "--nonsense"], "--nonsense"),
        ([], "RUN"),
    ],
)
def test_wrong_words(
    pochi: Pochi,
    make_run: Callable[..., Path],
    make_folder: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    said: str,
) -> None:
    make_folder(tmp_path / "data", {"ant": 1})
    (tmp_path / "file").touch()
    monkeypatch.setattr("pochitrain.run.infer.classify", None)  # refused before any work
    run = str(make_run(["ant", "bee"]))
    argv = [run if word == "RUN" else word for word in words]
    outcome = pochi(*argv, command="infer", prog="pochi")
    assert outcome.code == 2
    assert said in outcome.err
    assert "Traceback" not in outcome.err


def test_a_model_that_diverged_gives_json_and_a_word(
    pochi: Pochi, make_run: Callable[..., Path], make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    content = checkpoint_content(["ant", "bee"])
    content["model"]["fc.bias"][0] = float("nan")
    make_folder(tmp_path / "data", {"bee": 3})
    run = make_run([], content=content)
    outcome = pochi(str(run), "--data", str(tmp_path / "data"), command="infer", prog="pochi")
    assert outcome.code == 0
    assert "3 predictions are NaN" in outcome.out
    text = (run / "inference" / "inference_summary.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["expected_calibration_error"] is None


def test_the_gallery_holds_one_whole_picture_at_a_time() -> None:
    made: list[weakref.ref[Image.Image]] = []

    class Large:
        def load(self, index: int) -> Image.Image:
            if index == 2:
                raise UnreadableImageError("the file is gone")
            assert sum(ref() is not None for ref in made) <= 1  # the last one
            image = Image.new("RGB", (50, 50))
            made.append(weakref.ref(image))
            return image

    rows = [PredictionRow(f"{i}.png", 0, 1, 0.5) for i in range(6)]
    page = gallery(Large(), rows, ["a", "b"])  # type: ignore[arg-type]
    assert page.count("<figure") == 5
