"""The keys of group `data` that divide pictures into training, validation and test."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pochitrain.config.validators import Node, Range, Seed, require_regex
from pochitrain.error import require

Fraction = Range(gt=0, lt=1)


@dataclass(frozen=True)
class GroupPattern:
    """A regular expression with at most one ( )."""

    def describe(self, kind: Any) -> str:
        return "a regular expression with at most one ( ), which is the group of a picture"

    def check(self, key: str, value: Any, kind: Any) -> None:
        require_regex(value, key)
        rule = self.describe(kind)
        remedy = "Write (?: ) for the others."
        require(re.compile(value).groups <= 1, key, rule, value, remedy)


@dataclass
class SplitConfig:
    """A part of each class for validation, or folds; a part for the test at the end."""

    val_fraction: Annotated[float | None, Fraction] = None
    """Part of each class that is kept for validation."""
    num_folds: Annotated[int | None, Range(ge=2), Range(le=100)] = None
    """Instead: divide into so many parts, of which number `fold` is for validation."""
    fold: Annotated[int | None, Range(ge=0)] = None
    """0 to num_folds - 1; all of them: --multirun data.num_folds=5 'data.fold=range(0,5)'."""
    test_fraction: Annotated[float | None, Fraction] = None
    """Part of each class on which the best model is tested once, at the end."""
    seed: Seed = "${seed}"  # type: ignore[assignment]  # interpolation
    """Of the split: keep it, and other seeds train on the same images."""


@dataclass
class GroupedSplitConfig(SplitConfig):
    """The same for pictures of which more is known than the class."""

    group_by: str | None = None
    """What pictures of one group have in common; no group is on two sides."""
    split_by_time: str | None = None
    """Where the time of a picture comes from; the newest are for validation and test."""


def check_split(node: Node, default_fraction: float | None = None) -> None:
    """Check the rules about several keys of a SplitConfig at once.

    Args:
        default_fraction: `val_fraction` of the schema, which means that nobody has set it.

    Raises:
        ConfigError: for the first rule that is broken.
    """
    folds, fold, val = node.get("num_folds"), node.get("fold"), node["val_fraction"]
    all_folds = (
        "All of them, one after another: --multirun data.num_folds={} 'data.fold=range(0,{})'."
    )
    if folds is None:
        remedy = "Give the number of folds too: data.num_folds=5."
        require(fold is None, "data.fold", "null without data.num_folds", fold, remedy)
    else:
        remedy = all_folds.format(folds, folds)
        rule = f"0 to {folds - 1} with data.num_folds={folds}"
        require(fold is not None and fold < folds, "data.fold", rule, fold, remedy)
        rule = "null with data.num_folds, whose fold is what is validated on"
        require(val in (None, default_fraction), "data.val_fraction", rule, val)
    test = node.get("test_fraction")
    used = 1 / folds * (1 - (test or 0)) if folds is not None else val or 0.0
    if test is not None:
        rule = f"< {1 - used:g}, so that some pictures are left to train on"
        require(test + used < 1, "data.test_fraction", rule, test)
    group, time = node.get("group_by"), node.get("split_by_time")
    asked = val is not None or folds is not None or test is not None
    for key, value in (("group_by", group), ("split_by_time", time)):
        remedy = "Add data.val_fraction=0.2."
        rule = "null without data.val_fraction, data.num_folds or data.test_fraction"
        require(value is None or asked, f"data.{key}", rule, value, remedy)
    rule = "null with data.group_by: a split is by groups or by time"
    require(group is None or time is None, "data.split_by_time", rule, time)
    rule = "null with data.num_folds: folds have no order in time"
    require(time is None or folds is None, "data.split_by_time", rule, time)
