"""The Python API."""

import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from checkpoint_factory import checkpoint_content
from PIL import Image

from pochitrain import Predictor
from pochitrain.error import ConfigError, DataError, PochiError

MakeRun = Callable[..., Path]


@pytest.fixture
def predictor(make_run: MakeRun) -> Predictor:
    return Predictor.load(make_run(["cat", "dog", "猫"]), device="cpu", batch_size=4)


def pictures(num: int) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (20 + i, 30, 3), dtype=np.uint8) for i in range(num)]


def test_path_picture_and_array_get_one_answer(predictor: Predictor, tmp_path: Path) -> None:
    pixels = pictures(1)[0]
    Image.fromarray(pixels).save(tmp_path / "a.png")
    answers = [
        predictor.predict(tmp_path / "a.png"),
        predictor.predict(str(tmp_path / "a.png")),
        predictor.predict(Image.fromarray(pixels)),
        predictor.predict(pixels),
    ]
    assert all(answer == answers[0] for answer in answers)
    assert answers[0].class_name in predictor.class_names
    assert sum(answers[0].probabilities.values()) == pytest.approx(1)
    assert answers[0].top(2)[0] == (answers[0].class_name, answers[0].confidence)
    assert len(answers[0].top(2)) == 2


def test_batches_give_what_single_pictures_give(predictor: Predictor) -> None:
    listed = pictures(9)  # three batches of 4, 4, 1
    together = predictor.predict(listed)
    for pixels, answer in zip(listed, together, strict=True):
        alone = predictor.predict(pixels)
        assert alone.class_name == answer.class_name
        assert alone.confidence == pytest.approx(answer.confidence, abs=1e-5)


def test_threads_give_the_same_answers(predictor: Predictor) -> None:
    listed = [Image.fromarray(pixels) for pixels in pictures(6)]
    expected = [predictor.predict(picture) for picture in listed]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            assert list(pool.map(predictor.predict, listed)) == expected


def test_what_is_no_picture(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<html>")
    with pytest.raises(DataError, match=r"page\.jpg: not a picture"):
        predictor.predict([tmp_path / "page.jpg"])
    with pytest.raises(TypeError, match="float32 array"):
        predictor.predict(np.zeros((4, 4, 3), dtype=np.float32))
    with pytest.raises(TypeError, match="got int"):
        predictor.predict([3])  # type: ignore[list-item]


def test_what_cannot_become_rgb(predictor: Predictor) -> None:
    with pytest.raises(DataError, match="Cannot read a PIL picture or array"):
        predictor.predict(Image.new("La", (4, 4)))


def test_one_whole_picture_is_in_memory_at_a_time(predictor: Predictor) -> None:
    made: list[weakref.ref[Image.Image]] = []

    def large() -> Iterator[Image.Image]:
        for _ in range(4):
            assert sum(ref() is not None for ref in made) <= 1  # the last one
            picture = Image.new("RGB", (50, 50))
            made.append(weakref.ref(picture))
            yield picture

    assert len(predictor.predict(large())) == 4


def test_a_batch_of_nothing(predictor: Predictor) -> None:
    assert predictor.predict([]) == []
    with pytest.raises(ConfigError, match="batch_size must be >= 1, got 0"):
        Predictor(predictor.classifier, batch_size=0)


def test_a_model_that_diverged_says_so(make_run: MakeRun) -> None:
    content = checkpoint_content(["a", "b"])
    content["model"]["fc.bias"][0] = float("nan")
    with pytest.raises(PochiError, match="not finite"):
        Predictor.load(make_run([], content=content)).predict(pictures(1))


def test_importing_pochitrain_does_not_load_torch() -> None:
    code = "import sys, pochitrain; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
