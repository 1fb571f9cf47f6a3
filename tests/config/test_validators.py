"""The rules beside fields: what they say, and that every schema has them applied."""

import math
from dataclasses import is_dataclass
from typing import Any, get_type_hints

import pytest

from pochitrain.config.root import GROUPS, RootConfig
from pochitrain.config.split import GroupPattern
from pochitrain.config.validators import Choice, Numbers, Range, Regexes, Rule, check_fields
from pochitrain.error import ConfigError

SCHEMAS = [RootConfig, *(schema for schemas, _ in GROUPS.values() for schema in schemas.values())]


def ruled_fields(schema: type[Any], prefix: str = "") -> list[tuple[str, Any]]:
    """(dotted name, rule) of each rule beside a field, nested nodes included."""
    found = []
    for name, hint in get_type_hints(schema, include_extras=True).items():
        if isinstance(hint, type) and is_dataclass(hint):
            found += ruled_fields(hint, f"{prefix}{name}.")
        found += [(prefix + name, rule) for rule in getattr(hint, "__metadata__", ())]
    return found


def broken(rule: Any) -> Any:
    """A value that `rule` refuses."""
    if isinstance(rule, Range):
        low, high = max(rule.ge, rule.gt), min(rule.le, rule.lt)
        return low - 1 if math.isfinite(low) else high + 1
    if isinstance(rule, Numbers):
        return []
    return {Choice: "nosuch", Regexes: ["("], GroupPattern: "("}.get(type(rule))


ROWS = [
    (schema, name, broken(rule))
    for schema in SCHEMAS
    for name, rule in ruled_fields(schema)
    if not isinstance(rule, Rule)
]


@pytest.mark.parametrize(("schema", "name", "value"), ROWS, ids=lambda value: str(value)[-40:])
def test_every_rule_beside_a_field_is_applied(schema: Any, name: str, value: Any) -> None:
    node: Any = value
    for part in reversed(name.split(".")):
        node = {part: node}
    with pytest.raises(ConfigError) as caught:
        check_fields(schema, node, "group.")
    assert str(caught.value).startswith(f"group.{name}")


def test_there_are_as_many_as_there_were_checks() -> None:
    assert len(ROWS) >= 60


@pytest.mark.parametrize(
    ("rule", "kind", "value", "message"),
    [
        (Range(ge=1), int, 0, "k must be an integer >= 1, got 0."),
        (Range(ge=1), int, True, "k must be an integer >= 1, got True."),
        (Range(ge=1), int | None, 1.5, "k must be an integer >= 1, got 1.5."),
        (Range(gt=0, le=1), float, 0, "k must be a number > 0 and <= 1, got 0."),
        (
            Range(ge=0, lt=1, remedy="Why."),
            float,
            1,
            "k must be a number >= 0 and < 1, got 1. Why.",
        ),
        (Range(gt=0), float | None, math.nan, "k must be a number > 0, got nan."),
        (Range(gt=0), float, math.inf, "k must be a number > 0, got inf."),
        (Choice(("a", "b")), str, "c", "k must be one of a, b, got 'c'."),
        (Numbers("two", Range(gt=0), 2), list[float], [1], "k must be two, got [1]."),
        (Numbers("two", Range(gt=0), 2), list[float], [1, 0], "k must be two, got [1, 0]."),
        (Numbers("some"), list[float], [], "k must be some, got []."),
        (
            Rule("even", lambda value: value % 2 == 0, "Add 1."),
            int,
            3,
            "k must be even, got 3. Add 1.",
        ),
    ],
    ids=lambda value: None if isinstance(value, Rule) else str(value),
)
def test_message(rule: Any, kind: Any, value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        rule.check("k", value, kind)
    assert str(caught.value) == message


def test_bounds_themselves() -> None:
    Range(ge=1, le=2).check("k", 1, int)
    Range(ge=1, le=2).check("k", 2, int)
    for value in (1, 2):
        with pytest.raises(ConfigError):
            Range(gt=1, lt=2).check("k", value, float)
