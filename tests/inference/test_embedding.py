"""The map of pictures: features against scikit-learn, and what the page shows."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.decomposition import PCA

from pochitrain.data.dataset import ImageDataset
from pochitrain.data.folder import ImageFolderDataset
from pochitrain.error import ConfigError
from pochitrain.inference.classifier import Classifier, load_classifier
from pochitrain.inference.embedding import compute_embedding, project
from pochitrain.inference.stream import classify
from pochitrain.report.embedding_chart import MAX_POINTS, Dot, choose_points, format_embedding
from pochitrain.run.embedding import draw_map


@pytest.fixture
def pair(
    make_run: Callable[..., Path], make_folder: Callable[..., Path], tmp_path: Path
) -> tuple[Classifier, ImageDataset]:
    """A classifier, and eight pictures of which one is damaged."""
    root = make_folder(tmp_path / "data", {"ant": 4, "bee": 4})
    (root / "ant" / "002.png").write_bytes(b"no picture")
    paths = sorted(map(str, root.rglob("*.png")))
    classifier = load_classifier(make_run(["ant", "bee"]), "cpu")
    return classifier, ImageFolderDataset(paths, [0] * 4 + [1] * 4)


def test_features_of_all_readable_pictures(pair: tuple[Classifier, ImageDataset]) -> None:
    classifier, dataset = pair
    found = compute_embedding(classifier, dataset, batch_size=3, num_workers=0)
    assert found.indices.tolist() == [0, 1, 3, 4, 5, 6, 7]
    assert found.coordinates.shape == (7, 2) and found.coordinates.dtype == np.float32
    np.testing.assert_allclose(found.coordinates.mean(axis=0), 0, atol=1e-4)
    assert 1 >= found.explained[0] >= found.explained[1] > 0
    answers = classify(classifier, dataset, 3, 0)
    assert found.predicted.tolist() == answers.logits.argmax(dim=1).tolist()


def test_the_projection_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(40, 6)) * [5, 1, 3, 1, 1, 1]
    coordinates, explained = project(features.astype(np.float32))
    reference = PCA(2, svd_solver="full").fit(features)
    np.testing.assert_allclose(
        np.abs(coordinates), np.abs(reference.transform(features)), atol=1e-3
    )
    assert explained == pytest.approx(reference.explained_variance_ratio_, rel=1e-4)
    same, nothing = project(np.ones((5, 3), np.float32))
    assert not same.any() and nothing == (0, 0)


def test_mistakes(pair: tuple[Classifier, ImageDataset], make_folder: Callable) -> None:
    classifier, dataset = pair
    few = ImageFolderDataset([dataset.name(0), dataset.name(1)], [0, 1])
    with pytest.raises(ConfigError, match="at least 3 readable pictures, got 2"):
        compute_embedding(classifier, few, num_workers=0)
    classifier.network = object()  # type: ignore[assignment]
    with pytest.raises(ConfigError, match="Use the checkpoint"):
        compute_embedding(classifier, dataset)


def test_the_figure(pair: tuple[Classifier, ImageDataset]) -> None:
    classifier, dataset = pair
    page = draw_map(classifier, dataset, num_workers=0)
    found = compute_embedding(classifier, dataset, num_workers=0)
    wrong = int((np.asarray(dataset.labels)[found.indices] != found.predicted).sum())
    assert page.count('class="dot"') == page.count("data:image/jpeg") == 7
    assert page.count("<circle") == 7 and page.count("<path") == wrong > 0
    assert f"7 pictures as the network sees them; the closer, the more alike to it. {wrong}" in page
    assert "<script" not in page


def test_names_cannot_write_html_and_dots_stay_inside() -> None:
    name, picture = '<b>{x} "&', Image.new("RGB", (300, 200))
    dots = [Dot(x, 7.0, name, "b", "a/{y}<i>.png", picture) for x in (-500.0, 0.0, 1e6)]
    page = format_embedding(dots, [name, "b"], (0.5, 0.25), 10)
    assert "<b>" not in page and "<i>" not in page
    assert "&lt;b&gt;{x} &quot;&amp;" in page
    assert "3 of 10 pictures" in page and "Across: 50 % of the differences, up: 25 %." in page
    places = [float(x) for x in re.findall(r'cx="([\d.-]+)"', page)]
    assert min(places) >= 0 and max(places) <= 600
    assert "<figure" in format_embedding([], ["a"], (0.0, 0.0), 0)


def test_mistakes_are_shown_first_where_there_are_too_many() -> None:
    is_right = np.ones(5 * MAX_POINTS, bool)
    is_right[[3, 700, 2900]] = False
    chosen = choose_points(is_right)
    assert len(chosen) == MAX_POINTS and {3, 700, 2900} <= set(chosen)
    assert chosen == sorted(chosen) == choose_points(is_right)
    assert choose_points(np.array([True, False])) == [0, 1]
    assert torch.tensor(chosen).max() > 4 * MAX_POINTS
