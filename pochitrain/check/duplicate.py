"""Pictures that are there more than once: the same pixels, or nearly the same."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pochitrain.check.finding import Finding
from pochitrain.check.pictures import Pictures
from pochitrain.check.scan import Look
from pochitrain.data.progress import WaitDisplay

COARSE_PX = 16
"""Side in pixels of the version by which pictures are searched for that may be alike."""
NEIGHBOURS = 4
"""So many of the most similar pictures are compared closely, and as many mirrored ones."""
SIMILAR_FROM = 0.8
"""Correlation of two coarse pictures from which they are compared closely."""
ALIKE_FROM, STRICTEST = 0.9, 0.98
"""Correlation of fine detail from which two pictures are nearly the same: the first, but where all
pictures look alike (digits, faces) up to the second; see `choose_limit`."""
CLOSER = 0.25
"""Two pictures that are nearly the same differ by less than this part of what a typical picture
differs from the one that is most like it."""
LEAST_DETAIL = 0.006
"""Pictures with less detail than this (of the brightness range) cannot be told apart by it."""
MOST_DIFFERENT = 0.25
"""By so much a part of the picture may be brighter or of another colour, of the whole range: a red
heart is no green heart."""
PAIRS_AT_ONCE = 512
ROWS_AT_ONCE = 1024
MOST_PICTURES = 50_000
"""Among more pictures, those that are nearly the same are not searched for: the time grows with the
square of their number."""


@dataclass(frozen=True)
class Pair:
    """Two pictures that are nearly the same."""

    first: int
    second: int
    mirrored: bool
    likeness: float
    """Correlation of fine detail."""


def find_exact(pictures: Pictures, looks: Mapping[int, Look]) -> list[Finding]:
    """Groups of pictures whose decoded pixels are the same."""
    groups: dict[bytes, list[int]] = defaultdict(list)
    for image, look in looks.items():
        groups[look.pixels].append(image)
    same = [group for group in groups.values() if len(group) > 1]
    return [describe_group(pictures, "exact_duplicate", group, "the same pixels") for group in same]


def find_near(pictures: Pictures, looks: Mapping[int, Look]) -> tuple[list[Finding], list[Pair]]:
    """Groups of pictures that are nearly the same, and the pairs that they come from.

    One of each group of exact duplicates stands for all of them.
    """
    first_of: dict[bytes, int] = {}
    for image, look in looks.items():
        first_of.setdefault(look.pixels, image)
    chosen = sorted(first_of.values())
    if len(chosen) < 2 or len(chosen) > MOST_PICTURES:
        return [], []
    thumbnails = np.stack([looks[image].thumbnail for image in chosen])
    pairs = [
        Pair(chosen[pair.first], chosen[pair.second], pair.mirrored, pair.likeness)
        for pair in compare_all(thumbnails)
    ]
    best: dict[frozenset[int], Pair] = {}
    for pair in sorted(pairs, key=lambda pair: pair.likeness):
        best[frozenset((pair.first, pair.second))] = pair
    groups = connect(best.values())
    findings = []
    group_of = {image: number for number, group in enumerate(groups) for image in group}
    pairs_of: list[list[Pair]] = [[] for _ in groups]
    for pair in best.values():
        pairs_of[group_of[pair.first]].append(pair)
    for group, own in zip(groups, pairs_of, strict=True):
        weakest = min(pair.likeness for pair in own)
        detail = f"fine detail correlates by {weakest:.2f}"
        if any(pair.mirrored for pair in own):
            detail += ", mirrored"
        findings.append(describe_group(pictures, "near_duplicate", group, detail))
    return findings, list(best.values())


def describe_group(pictures: Pictures, kind: str, group: Sequence[int], detail: str) -> Finding:
    """The finding; what should be dropped is what is in training beside one that stays.

    A validation picture stays, so that results remain comparable: its likes are dropped from
    training. Of the same pictures on one side the first stays; nearly the same ones there may be
    meant (frames, overlapping crops). Where classes differ, a person has to decide.
    """
    group = sorted(group)
    val = [image for image in group if pictures.is_val[image]]
    train = [image for image in group if not pictures.is_val[image]]
    classes = sorted({pictures.class_name(image) for image in group})
    across = bool(val and train)
    drop = train if across else group[1:] if kind == "exact_duplicate" else []
    if len(classes) > 1:
        detail += f"; in different classes: {', '.join(classes)}"
        drop = []
    return Finding(kind, tuple(group), detail, across, tuple(drop))


def compare_all(thumbnails: NDArray[np.uint8]) -> list[Pair]:
    """All pairs of small pictures (N, S, S, 3) that are nearly the same, by position."""
    import torch

    from pochitrain.check.align import compare

    stacked = torch.from_numpy(thumbnails).permute(0, 3, 1, 2)
    compared = []
    closest = np.zeros(len(thumbnails), np.float32)
    for mirrored in (False, True):
        candidates = torch.from_numpy(similar_pairs(thumbnails, mirrored))
        label = "Comparing mirrored pictures" if mirrored else "Comparing similar pictures"
        with WaitDisplay(label, len(candidates)) as display, torch.inference_mode():
            for part in torch.split(candidates, PAIRS_AT_ONCE):
                first, second = (stacked[part[:, side]].float() / 255 for side in (0, 1))
                likeness = compare(first, second.flip(3) if mirrored else second)
                correlation = likeness.correlation.numpy()
                for side in (0, 1):
                    np.maximum.at(closest, part[:, side].numpy(), correlation)
                enough = (likeness.detail >= LEAST_DETAIL).numpy() & (correlation >= ALIKE_FROM)
                enough &= (likeness.difference <= MOST_DIFFERENT).numpy()
                for row in np.flatnonzero(enough).tolist():
                    one, other = part[row].tolist()
                    compared.append(Pair(one, other, mirrored, float(correlation[row])))
                display.advance(len(part))
    limit = choose_limit(closest)
    return [pair for pair in compared if pair.likeness >= limit]


def choose_limit(closest: NDArray[np.float32]) -> float:
    """The correlation from which pictures of this set are nearly the same.

    Args:
        closest: of each picture, the correlation with the one that is most like it.
    """
    typical = float(np.median(closest))
    return float(np.clip(1 - CLOSER * (1 - typical), ALIKE_FROM, STRICTEST))


def similar_pairs(thumbnails: NDArray[np.uint8], mirrored: bool) -> NDArray[np.int64]:
    """Pairs of each picture and those most similar to it, int64, shape (P, 2)."""
    import torch

    described = describe_coarsely(thumbnails)
    queries = describe_coarsely(thumbnails[:, :, ::-1]) if mirrored else described
    table = torch.from_numpy(described)
    pairs = []
    num_near = min(NEIGHBOURS + 1, len(table))
    for start in range(0, len(table), ROWS_AT_ONCE):
        rows = torch.from_numpy(queries[start : start + ROWS_AT_ONCE])
        likeness, near = (rows @ table.T).topk(num_near, dim=1)
        own = torch.arange(start, start + len(rows))[:, None].expand_as(near)
        wanted = (likeness >= SIMILAR_FROM) & (near != own)
        pairs.append(torch.stack([own[wanted], near[wanted]], dim=1))
    joined = torch.cat(pairs).sort(dim=1).values.numpy()
    unique: NDArray[np.int64] = np.unique(joined, axis=0)
    return unique


def describe_coarsely(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Vectors of length 1 whose products are the correlation of pictures, shape (N, D)."""
    count, side = thumbnails.shape[:2]
    step = side // COARSE_PX
    blocks = thumbnails.reshape(count, COARSE_PX, step, COARSE_PX, step, 3)
    coarse = blocks.mean(axis=(2, 4), dtype=np.float32).reshape(count, -1)
    coarse -= coarse.mean(axis=1, keepdims=True)
    described: NDArray[np.float32] = coarse / (np.linalg.norm(coarse, axis=1, keepdims=True) + 1e-3)
    return described


def connect(pairs: Iterable[Pair]) -> list[list[int]]:
    """Groups of pictures that pairs connect, each sorted."""
    group_of: dict[int, list[int]] = {}
    for pair in pairs:
        first = group_of.setdefault(pair.first, [pair.first])
        second = group_of.setdefault(pair.second, [pair.second])
        if first is not second:
            first += second
            group_of |= dict.fromkeys(second, first)
    unique = {id(group): sorted(group) for group in group_of.values()}
    return sorted(unique.values())
