"""How many pixels go through the network at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_factory import VAL, checkpoint_content
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from pochitrain import Predictor
from pochitrain.error import ConfigError, DataError
from pochitrain.inference.budget import (
    DEFAULT_PIXELS,
    InputTooLargeError,
    PixelBudget,
    plan_budget,
)
from pochitrain.inference.classifier import load_classifier
from pochitrain.inference.source import open_source
from pochitrain.inference.stream import classify

MakeRun = Callable[..., Path]
TENSOR = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]


@pytest.mark.parametrize(
    ("steps", "own_size", "keeps_size", "resizes"),
    [
        ([], None, True, ()),
        ([v2.Resize((20, 30))], (20, 30), False, ()),
        ([v2.Resize(32), v2.CenterCrop(28)], (28, 28), False, (32,)),
        ([v2.Resize([32])], None, False, (32,)),
        ([v2.Resize(32, max_size=64)], None, False, ()),
        ([v2.Pad(2)], None, False, ()),
    ],
)
def test_what_is_known_of_a_pipeline(
    steps: list[Any], own_size: Any, keeps_size: bool, resizes: tuple[int, ...]
) -> None:
    budget = plan_budget(v2.Compose([*steps, *TENSOR]), None, 8)
    assert budget == PixelBudget(DEFAULT_PIXELS, own_size, keeps_size, resizes)


def test_a_batch_of_the_models_own_size_always_fits() -> None:
    large = v2.Compose([v2.Resize((1000, 1500)), *TENSOR])
    assert plan_budget(large, None, 8).max_pixels == 8 * 1000 * 1500
    assert plan_budget(v2.Compose(TENSOR), (1000, 1500), 8).max_pixels == 8 * 1000 * 1500
    assert plan_budget(large, None, 8, 2_000_000).images_at_once(8) == 1
    with pytest.raises(ConfigError, match=r"at least 1\.5, .* \(1500 x 1000 px\), got 1\."):
        plan_budget(large, None, 8, 1_000_000)


@given(
    st.lists(st.integers(1, 50), max_size=30),
    st.integers(1, 6),
)
def test_batches_stay_below_both_limits(pixels: list[int], batch_size: int) -> None:
    budget = PixelBudget(50, None, True)
    batches = list(budget.batches(pixels, batch_size, lambda item: item))
    assert [item for batch in batches for item in batch] == pixels
    for i, batch in enumerate(batches):
        assert sum(batch) <= 50
        assert len(batch) <= batch_size
        if i + 1 < len(batches):  # none ends early
            assert len(batch) == batch_size or sum(batch) + batches[i + 1][0] > 50


def test_a_strip_is_measured_where_it_is_longest() -> None:
    budget = PixelBudget(100, None, False, (256,))
    assert budget.widest((1000, 1)) == 256 * 256_000
    assert budget.widest((300, 300)) == 90_000
    with pytest.raises(InputTooLargeError, match="more than 178,956,970 pixels of 5000 x 1"):
        budget.require_source((5000, 1))


class Watched:
    """A network that notes the shapes of what it gets."""

    name = "test"
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, images: Tensor) -> Tensor:
        self.shapes.append(tuple(images.shape))
        return torch.zeros(len(images), 2)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_infer_splits_batches_and_reports_what_is_too_large(
    make_run: MakeRun, tmp_path: Path, num_workers: int
) -> None:
    content = checkpoint_content(["a", "b"])
    content["transforms"]["val"] = VAL[1:]  # keeps sizes
    classifier = load_classifier(make_run([], content=content), device="cpu")
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, side in enumerate([30, 40, 40, 60, 101, 40, 40, 40, 40, 40]):
        Image.new("RGB", (side, side)).save(folder / f"{i:02d}.png")
    (folder / "10.png").write_bytes(b"no picture")
    network = classifier.network = Watched()
    source = open_source(classifier, str(folder))
    answers = classify(classifier, source.dataset, 4, num_workers, max_pixels=10_000)
    assert sorted(answers.unreadable) == [4, 10]
    assert "101 x 101 is more than the 0.01 megapixels" in answers.unreadable[4]
    assert answers.indices.tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert torch.isfinite(answers.logits).all()
    passes = [(n, h) for n, _, h, _ in network.shapes]
    # 900 + 1600 + 1600 + 3600, then four of 1600 with the unreadable one among them, the rest
    assert passes == [(1, 30), (2, 40), (1, 60), (3, 40), (2, 40)]


def test_images_of_the_training_are_never_too_large(make_run: MakeRun) -> None:
    content = checkpoint_content(["a", "b"])
    content["transforms"]["val"] = VAL[1:]
    content["input_size"] = [2000, 3000]
    classifier = load_classifier(make_run([], content=content), device="cpu")
    assert classifier.input_size == (2000, 3000)
    assert classifier.plan_budget(4).max_pixels == 4 * 2000 * 3000


def test_the_predictor_refuses_and_splits(make_run: MakeRun) -> None:
    content = checkpoint_content(["a", "b"])
    content["transforms"]["val"] = VAL[1:]
    run = make_run([], content=content)
    predictor = Predictor.load(run, device="cpu", max_input_megapixels=0.01)
    network = predictor.classifier.network = Watched()
    with pytest.raises(DataError, match=r"101 x 100 is more than the 0\.01 megapixels"):
        predictor.predict(Image.new("RGB", (101, 100)))
    assert len(predictor.predict([Image.new("RGB", (50, 50))] * 9)) == 9
    assert [shape[0] for shape in network.shapes] == [4, 4, 1]
    with pytest.raises(ConfigError, match="max_input_megapixels must be > 0, got 0"):
        Predictor.load(run, max_input_megapixels=0)
