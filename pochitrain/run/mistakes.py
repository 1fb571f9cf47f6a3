"""The page with the most confident mistakes of an inference."""

import itertools
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace

from pochitrain.data.dataset import ImageDataset
from pochitrain.data.decode import UnreadableImageError
from pochitrain.inference.classifier import Classifier
from pochitrain.inference.table import PredictionRow
from pochitrain.report.gallery import MAX_MISTAKES, Mistake, format_gallery
from pochitrain.run.overlay import overlays


def gallery(
    dataset: ImageDataset,
    rows: list[PredictionRow],
    class_names: list[str],
    explained: Classifier | None = None,
) -> str:
    """HTML of the most confident mistakes.

    Args:
        explained: what has made them, where each is to have a heatmap.
    """
    wrong = [
        (row.confidence, index)
        for index, row in enumerate(rows)
        if row.predicted is not None and row.confidence is not None and row.predicted != row.true
    ]
    wrong.sort(key=lambda item: (-item[0], item[1]))
    shown = load_mistakes(dataset, rows, [i for _, i in wrong[:MAX_MISTAKES]], class_names)
    if explained is not None:
        shown = add_heatmaps(shown, explained)
    judged = sum(row.predicted is not None for row in rows)
    return format_gallery(shown, judged, len(wrong))


def load_mistakes(
    dataset: ImageDataset, rows: list[PredictionRow], wrong: list[int], class_names: list[str]
) -> Iterator[Mistake]:
    """The misclassified images (indices `wrong`), loaded one by one, without unreadable ones."""
    for index in wrong:
        row = rows[index]
        assert row.predicted is not None and row.true is not None and row.confidence is not None
        found, truth = class_names[row.predicted], class_names[row.true]
        with suppress(UnreadableImageError):
            yield Mistake(dataset.load(index), row.image_path, found, truth, row.confidence)


def add_heatmaps(mistakes: Iterable[Mistake], classifier: Classifier) -> Iterator[Mistake]:
    """The mistakes with their heatmaps, one by one."""
    first, second = itertools.tee(mistakes)
    pictures = overlays(classifier, (mistake.image for mistake in second))
    for mistake, heatmap in zip(first, pictures, strict=True):
        yield replace(mistake, heatmap=heatmap)
