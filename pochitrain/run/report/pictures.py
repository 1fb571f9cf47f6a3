"""The pictures of a page: small versions, names, and what the model says of each."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pochitrain.data.dataset import ImageDataset
from pochitrain.report.thumbnail import MAX_BYTES, load_small, make_thumbnails
from pochitrain.run.report.answers import Answers
from pochitrain.run.report.tables import MAX_ROWS

NUM_MISTAKES = 24
"""Of the most confident ones, so many are on the page from the start."""


BYTES_OF_CLASS = 550
"""What a class adds to the page, in its table and elsewhere."""


@dataclass
class Pictures:
    """The pictures that are on a page."""

    shown: list[int] = field(default_factory=list)
    """Their positions in the answers, the most important ones first."""
    urls: dict[int, str] = field(default_factory=dict)
    """Position -> data URL."""
    root: str = ""
    """The folder that all names begin with; empty if there is none."""
    num_mistakes: int = 0
    """How many of the shown are mistakes; they come first."""


def choose_pictures(answers: Answers, dataset: ImageDataset | None, max_pictures: int) -> Pictures:
    """Make the small versions, mistakes first, then by turns from every class.

    Args:
        dataset: None if the pictures are not there any more.
    """
    if dataset is None or max_pictures == 0 or len(dataset) != len(answers.true):
        return Pictures()
    wanted = answers.by_importance()[:max_pictures]
    budget = MAX_BYTES - BYTES_OF_CLASS * min(len(answers.class_names), MAX_ROWS)
    urls = make_thumbnails(lambda i, side: load_small(dataset, i, side), wanted, budget)
    shown = [position for position in wanted if position in urls]
    num_wrong = sum(not answers.is_right[position] for position in shown)
    return Pictures(shown, urls, common_folder(answers.images), num_wrong)


def common_folder(names: list[str]) -> str:
    """The deepest folder of all names, ending in a slash; empty if there is none."""
    folders = {name.rpartition("/")[0] for name in names}
    try:
        root = f"{os.path.commonpath(folders)}/"
    except ValueError:  # none, or absolute and relative ones
        return ""
    return root if all(name.startswith(root) for name in names) else ""


def picture_rows(
    pictures: Pictures, answers: Answers, leaked: dict[int, str], skip: Callable[[int], bool]
) -> list[list[Any]]:
    """For the script: name, true class, predicted class, confidence in percent, data URL (empty
    for those that `skip` says are on the page already), twin in training."""
    start = len(pictures.root)
    return [
        [
            answers.images[i][start:],
            int(answers.true[i]),
            int(answers.predicted[i]),
            round(100 * float(answers.confidence[i]), 2),
            "" if skip(rank) else pictures.urls[i],
            *([leaked[i]] if i in leaked else []),
        ]
        for rank, i in enumerate(pictures.shown)
    ]
