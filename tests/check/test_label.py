"""Labels that are probably wrong."""

from collections.abc import Callable

import numpy as np

from pochitrain.check.label import find_suspects
from pochitrain.check.pictures import Pictures
from tests.check.conftest import paint


def test_a_label_that_all_the_evidence_is_against(pictures_of: Callable[..., Pictures]) -> None:
    labels = [0] * 10 + [1] * 10
    chances = np.where(np.array(labels)[:, None] == 0, [0.95, 0.05], [0.05, 0.95])
    chances[3] = [0.02, 0.98]  # labelled a, looks like b
    chances[12] = [0.52, 0.48]  # undecided
    image = paint(0, 8)
    pictures = pictures_of([image] * 15, [image] * 5, labels=labels)
    (found,) = find_suspects(pictures, range(20), chances)
    assert (found.kind, found.images, found.relabel) == ("label", (3,), "b")
    assert found.detail == "labelled a (2 %), looks like b (98 %)"


def test_positions_are_those_of_the_pictures_that_were_judged(
    pictures_of: Callable[..., Pictures],
) -> None:
    image = paint(0, 8)
    pictures = pictures_of([image] * 22, [], labels=[0, 0] + [0] * 10 + [1] * 10)
    judged = list(range(2, 22))
    chances = np.array([[0.9, 0.1]] * 10 + [[0.1, 0.9]] * 10)
    chances[4] = [0.01, 0.99]
    assert [found.images for found in find_suspects(pictures, judged, chances)] == [(6,)]


def test_half_is_enough_and_the_surest_come_first(pictures_of: Callable[..., Pictures]) -> None:
    pictures = pictures_of([paint(0, 8)] * 4, [], labels=[0, 0, 1, 1])
    chances = np.array([[0.25, 0.75], [0.2505, 0.7495], [0.9, 0.1], [0.5, 0.5]])
    assert [found.images for found in find_suspects(pictures, range(4), chances)] == [(2,), (0,)]
