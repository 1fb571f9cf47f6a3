"""The map of the labelled images of a run, for its page: one forward pass."""

from collections.abc import Iterator
from contextlib import suppress

import numpy as np

from pochitrain.data.dataset import ImageDataset
from pochitrain.data.decode import UnreadableImageError
from pochitrain.inference.classifier import Classifier
from pochitrain.inference.embedding import Embedding, compute_embedding
from pochitrain.report.embedding_chart import Dot, choose_points, format_embedding


def draw_map(
    classifier: Classifier,
    dataset: ImageDataset,
    batch_size: int = 32,
    num_workers: int | None = None,
) -> str:
    """HTML of the map of `dataset`, a `figure` for a page.

    Args:
        dataset: its labels are the true classes.

    Raises:
        ConfigError: see `compute_embedding`.
    """
    found = compute_embedding(classifier, dataset, batch_size, num_workers)
    dots = load_dots(found, dataset, classifier.class_names)
    return format_embedding(dots, classifier.class_names, found.explained, len(found.indices))


def load_dots(found: Embedding, dataset: ImageDataset, class_names: list[str]) -> Iterator[Dot]:
    """The dots that are shown, with their images, one by one."""
    true = np.asarray(dataset.labels)[found.indices]
    for row in choose_points(true == found.predicted):
        index = int(found.indices[row])
        x, y = map(float, found.coordinates[row])
        names = class_names[int(true[row])], class_names[int(found.predicted[row])]
        with suppress(UnreadableImageError):
            yield Dot(x, y, *names, dataset.name(index), dataset.load(index))
