"""Labels that are probably wrong: confident learning (Northcutt, Jiang & Chuang 2021)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pochitrain.check.finding import Finding
from pochitrain.check.pictures import Pictures


def find_suspects(
    pictures: Pictures, images: Sequence[int], probabilities: NDArray[np.float64]
) -> list[Finding]:
    """Pictures whose label cleanlab finds wrong, the most suspicious first.

    Args:
        images: positions of the pictures that were judged, N of them.
        probabilities: shape (N, C), each row by a classifier that has not seen that picture.
    """
    from cleanlab.filter import find_label_issues

    labels = pictures.labels[np.asarray(images, np.int64)]
    classes, compact = np.unique(labels, return_inverse=True)  # cleanlab wants 0, 1, 2, ... in use
    if len(classes) < 2:
        return []
    chances = probabilities[:, classes]
    chances = chances / chances.sum(axis=1, keepdims=True)
    ranked = find_label_issues(
        compact, chances, return_indices_ranked_by="self_confidence", n_jobs=1
    )
    findings = []
    for row in ranked.tolist():
        best = int(chances[row].argmax())
        if best == compact[row]:
            continue
        given, other = (pictures.class_names[classes[i]] for i in (int(compact[row]), best))
        shares = [round(100 * chances[row, i]) for i in (best, int(compact[row]))]
        text = f"labelled {given} ({shares[1]} %), looks like {other} ({shares[0]} %)"
        findings.append(Finding("label", (images[row],), text, relabel=other))
    return findings
