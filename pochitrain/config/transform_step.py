"""The steps that a pipeline is built of: those of the lists, and what `fit`, `crop_scale` and
`interpolation` add.

Both the run and its checkpoints take the steps from here, so that validation, inference and
serving do the same.
"""

import math
from collections.abc import Sequence
from typing import Any

from pochitrain.config.transform import WHOLE_SCALE
from pochitrain.config.validators import Node
from pochitrain.error import require

FIT_IMAGE = "pochitrain.transform.fit.FitImage"
INTERPOLATION = "torchvision.transforms.InterpolationMode"

Steps = list[tuple[str, dict[str, Any]]]
"""Dotted key, for messages, and node."""


def complete_steps(transform: Node, split: str, mean: Sequence[float]) -> Steps:
    """The steps of transform.train or transform.val as they are built.

    - `crop_scale` goes into each RandomResizedCrop that has no `scale` of its own.
    - `interpolation` goes into each Resize and RandomResizedCrop that has none of its own.
    - With fit=pad and squash, a FitImage comes first and stands for the Resize and CenterCrop at
      the beginning. Where a RandomResizedCrop follows, its square is so large that the smallest
      crop need not be enlarged.

    Args:
        transform: the group, resolved; no value is `auto`.
        split: "train" or "val".
        mean: root key `mean`. Bars get this colour, which Normalize makes 0.

    Raises:
        ConfigError: if the steps of a whole image do not make it square.
    """
    steps = [(f"transform.{split}[{i}]", dict(node)) for i, node in enumerate(transform[split])]
    whole = transform.get("fit", "crop") != "crop"
    scale = transform.get("crop_scale") or (WHOLE_SCALE if whole else None)
    crops = [node for _, node in steps if is_step(node, "RandomResizedCrop")]
    if scale is not None:
        for node in crops:
            node.setdefault("scale", [scale, 1.0])
    interpolation = transform.get("interpolation")
    if interpolation is not None:
        for _, node in steps:
            if is_step(node, "Resize", "RandomResizedCrop"):
                node.setdefault(
                    "interpolation", {"_target_": INTERPOLATION, "value": interpolation}
                )
    if not whole:
        return steps
    size = transform["size"]
    while steps and is_step(steps[0][1], "Resize", "CenterCrop"):
        key, node = steps.pop(0)
        if is_step(node, "CenterCrop") or has_two_sides(node):
            size = square_side(key, node)
    for key, node in steps:
        if is_step(node, "RandomResizedCrop"):
            size = math.ceil(square_side(key, node) / math.sqrt(node["scale"][0]))
            break
    fill = [min(255, max(0, round(value * 255))) for value in mean]
    first: dict[str, Any] = {
        "_target_": FIT_IMAGE,
        "size": size,
        "mode": transform["fit"],
        "fill": fill,
    }
    if interpolation is not None:
        first["interpolation"] = interpolation
    return [(f"transform.{split}[fit]", first), *steps]


def is_step(node: Node, *names: str) -> bool:
    """Whether a node builds one of these classes of torchvision.transforms (v1 or v2)."""
    home, _, name = str(node.get("_target_")).rpartition(".")
    return name in names and home.startswith("torchvision.transforms")


def find_unused(transform: Node, source: str) -> dict[str, str]:
    """Keys of the group that change nothing with its steps -> why.

    Args:
        transform: the group.
        source: the group as YAML, not resolved.
    """
    steps = [node for split in ("train", "val") for node in transform.get(split) or []]
    crops = [node for node in steps if is_step(node, "RandomResizedCrop")]
    resized = [*crops, *(node for node in steps if is_step(node, "Resize"))]
    is_whole = transform.get("fit", "crop") != "crop"
    found = {}
    if all("scale" in node for node in crops):
        found["crop_scale"] = "no step is a RandomResizedCrop without scale"
    if not is_whole and all("interpolation" in node for node in resized):
        found["interpolation"] = "no step is a Resize or RandomResizedCrop without interpolation"
    if "transform.crop_pct}" not in source:
        found["crop_pct"] = "no step refers to it"
    elif transform.get("fit") in ("pad", "squash"):
        found["crop_pct"] = f"transform.fit={transform['fit']} shows whole pictures"
    return found


def has_two_sides(node: Node) -> bool:
    """Whether `size` is height and width, and not the shorter side alone."""
    size = node.get("size")
    return isinstance(size, (list, tuple)) and len(size) == 2


def square_side(key: str, node: Node) -> int:
    """The side in pixels of the square that a step makes.

    Raises:
        ConfigError: if it is not one.
    """
    size = node.get("size")
    sides = [*size] if isinstance(size, (list, tuple)) else [size]
    first = sides[0] if sides else None
    ok = isinstance(first, int) and sides.count(first) == len(sides)
    rule = "one number with transform.fit=pad and squash, which make pictures square"
    require(ok, f"{key}.size", rule, size)
    assert isinstance(first, int)
    return first
