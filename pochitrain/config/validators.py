"""Rules that several groups share; each raises ConfigError with the key and the value seen."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pochitrain.error import ConfigError, require

Node = Mapping[str, Any]
"""A group of the composed config as plain, resolved Python values."""


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def require_positive_int(node: Node, key: str, prefix: str = "", remedy: str = "") -> None:
    """`node[key]`, where present and not null, is an integer >= 1."""
    require_int(node, key, prefix, low=1, remedy=remedy)


def require_int(node: Node, key: str, prefix: str = "", *, low: int, remedy: str = "") -> None:
    """`node[key]`, where present and not null, is an integer >= `low`."""
    value = node.get(key)
    if value is None:
        return
    ok = isinstance(value, int) and not isinstance(value, bool) and value >= low
    require(ok, prefix + key, f"an integer >= {low}", value, remedy)


def require_range(
    node: Node,
    key: str,
    prefix: str = "",
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
    remedy: str = "",
) -> None:
    """`node[key]`, where present and not null, is a finite number inside the given range."""
    value = node.get(key)
    if value is None:
        return
    above = is_number(value) and (value > low if open_low else value >= low)
    below = is_number(value) and (value < high if open_high else value <= high)
    bounds = []
    if low > -math.inf:
        bounds.append(f"{'>' if open_low else '>='} {low:g}")
    if high < math.inf:
        bounds.append(f"{'<' if open_high else '<='} {high:g}")
    require(above and below, prefix + key, "a number " + " and ".join(bounds), value, remedy)


def require_choice(node: Node, key: str, choices: Iterable[object], prefix: str = "") -> None:
    """`node[key]`, where present, is one of `choices`."""
    choices = list(choices)
    if key in node:
        rule = "one of " + ", ".join("null" if c is None else str(c) for c in choices)
        require(node[key] in choices, prefix + key, rule, node[key])


def require_regex(pattern: object, key: str) -> None:
    """`pattern` compiles as a regular expression."""
    try:
        re.compile(str(pattern))
    except re.error as error:
        raise ConfigError(
            f"{key} must be a regular expression, got {pattern!r} ({error}). "
            "Escape special characters with a backslash."
        ) from None
