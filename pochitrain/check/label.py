"""Labels that are probably wrong: another class is far likelier, to who has not seen the picture.

Confident learning (Northcutt, Jiang & Chuang 2021) would also estimate how many labels of each
class are wrong. cleanlab does that, and was tried on the same probabilities: its list was about as
good as that of one fixed margin (docs/data_check.md), so it is not needed.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pochitrain.check.finding import Finding
from pochitrain.check.pictures import Pictures

LEAST_MARGIN = 0.5
"""By so much another class must be likelier than the one of the label."""


def find_suspects(
    pictures: Pictures, images: Sequence[int], probabilities: NDArray[np.float64]
) -> list[Finding]:
    """Pictures whose label is probably wrong, the most suspicious first.

    Args:
        images: positions of the pictures that were judged, N of them.
        probabilities: shape (N, C), each row by a classifier that has not seen that picture.
    """
    rows = np.arange(len(images))
    labels = pictures.labels[np.asarray(images, np.int64)]
    best = probabilities.argmax(axis=1)
    margins = probabilities[rows, best] - probabilities[rows, labels]
    order = np.argsort(-margins, kind="stable")
    findings = []
    for row in order[margins[order] >= LEAST_MARGIN].tolist():
        given, other = (pictures.class_names[i] for i in (int(labels[row]), int(best[row])))
        shares = [round(100 * probabilities[row, i]) for i in (labels[row], best[row])]
        text = f"labelled {given} ({shares[0]} %), looks like {other} ({shares[1]} %)"
        findings.append(Finding("label", (images[row],), text, relabel=other))
    return findings
