"""How the pictures are spread over classes, forms and shapes."""

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from pochitrain.check.finding import Finding
from pochitrain.check.pictures import Pictures
from pochitrain.check.scan import Look

RARE_MODE = 0.05
"""Pictures are in a rare form if fewer than this part of all are stored in it."""
CUT_AREA = 0.5
"""Part of the area of a picture beyond the crop from which it is worth a note."""
FEW_PICTURES = 10
IMBALANCE = 10
"""Ratio of the largest class to the smallest from which training should do something about it."""


def judge_modes(looks: Mapping[int, Look]) -> Iterable[Finding]:
    """Pictures stored in a form that hardly any other has: often from another source."""
    modes = Counter(look.mode for look in looks.values() if look.mode)
    for mode, count in modes.items():
        if count < RARE_MODE * modes.total():
            images = tuple(image for image, look in looks.items() if look.mode == mode)
            others = ", ".join(f"{name} {n:,}" for name, n in modes.most_common() if name != mode)
            yield Finding("odd_mode", images, f"{mode} {count:,}; the others: {others}")


def crop_loss(looks: Mapping[int, Look]) -> dict[int, float]:
    """Part of the area that a central square crop of the shorter side cuts off, 0 to 1."""
    return {image: 1 - min(look.size) / max(look.size) for image, look in looks.items()}


def judge_cut(looks: Mapping[int, Look]) -> Iterable[Finding]:
    """Pictures of which a square crop leaves only a small part."""
    losses = crop_loss(looks)
    cut = {image: loss for image, loss in losses.items() if loss > CUT_AREA}
    if cut:
        typical = float(np.median(list(losses.values())))
        most = max(cut.values())
        text = (
            f"a square crop cuts off {100 * typical:.0f} % of a typical picture and up to "
            f"{100 * most:.0f} %; transform.fit=pad keeps all of it"
        )
        yield Finding("cut", tuple(sorted(cut, key=lambda image: -cut[image])), text)


def count_sides(pictures: Pictures) -> list[tuple[int, int]]:
    """(training, validation) pictures of each class."""
    num_classes = len(pictures.class_names)
    is_val = pictures.is_val
    train = np.bincount(pictures.labels[~is_val], minlength=num_classes).tolist()
    val = np.bincount(pictures.labels[is_val], minlength=num_classes).tolist()
    return list(zip(train, val, strict=True))


def judge_classes(pictures: Pictures) -> Iterable[Finding]:
    """Classes that are small, or missing in validation."""
    counts = count_sides(pictures)
    names = pictures.class_names

    def of_classes(kind: str, chosen: list[int], text: str) -> Finding:
        return Finding(kind, (), f"{', '.join(names[i] for i in chosen)}: {text}")

    few = [i for i, (train, _) in enumerate(counts) if train < FEW_PICTURES]
    if few:
        shown = ", ".join(str(counts[i][0]) for i in few)
        yield of_classes("few_pictures", few, f"{shown} training picture(s)")
    missing = [i for i, (_, val) in enumerate(counts) if val == 0]
    if len(pictures.sides) > 1 and missing:
        yield of_classes("only_one_side", missing, "no picture in validation")
    train = [n for n, _ in counts]
    if max(train) >= IMBALANCE * max(1, min(train)):
        pair = [int(np.argmax(train)), int(np.argmin(train))]
        remedy = "class weights (loss.class_weights) or data.balanced_sampling=true may help"
        yield of_classes("imbalance", pair, f"{max(train):,} and {min(train):,}; {remedy}")
