"""Rules about single settings, written in the annotation of the field:

    epochs: Annotated[int, Range(ge=1)] = 10

Rules about several settings at once are functions of their group (`check_optimizer`, ...).
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from functools import cache
from typing import Annotated, Any, Protocol, get_args, get_origin, get_type_hints

from pochitrain.error import ConfigError, require

Node = Mapping[str, Any]
"""A group of the composed config as plain, resolved Python values."""


class FieldRule(Protocol):
    """A rule in the annotation of a field."""

    def describe(self, kind: Any) -> str:
        """The rule in words, as in `<key> must be <rule>`; `kind` is the type of the field."""

    def check(self, key: str, value: Any, kind: Any) -> None:
        """Raise ConfigError if `value`, which is not None, breaks the rule.

        Args:
            key: dotted key, for the message.
            kind: type of the field.
        """


@dataclass(frozen=True)
class Range:
    """A finite number (in an integer field, an integer) within the bounds that are given."""

    ge: float = -math.inf
    gt: float = -math.inf
    lt: float = math.inf
    le: float = math.inf
    remedy: str = ""

    def holds(self, value: Any) -> bool:
        """Whether `value` is a finite number, not a boolean, within the bounds."""
        return is_number(value) and self.ge <= value <= self.le and self.gt < value < self.lt

    def describe(self, kind: Any) -> str:
        signs = {">=": self.ge, ">": self.gt, "<": self.lt, "<=": self.le}
        bounds = [f"{sign} {x:g}" for sign, x in signs.items() if math.isfinite(x)]
        return f"{'an integer' if is_whole(kind) else 'a number'} {' and '.join(bounds)}".rstrip()

    def check(self, key: str, value: Any, kind: Any) -> None:
        ok = self.holds(value) and (isinstance(value, int) or not is_whole(kind))
        require(ok, key, Range.describe(self, kind), value, self.remedy)


@dataclass(frozen=True)
class RangeOrAuto(Range):
    """The same, or the word auto."""

    auto: str = "an integer or auto"
    """The rule as in the message about other words."""

    def describe(self, kind: Any) -> str:
        return f"{super().describe(kind)}, or auto"

    def check(self, key: str, value: Any, kind: Any) -> None:
        require(value == "auto" or is_number(value), key, self.auto, value)
        if value != "auto":
            super().check(key, value, kind)


@dataclass(frozen=True)
class Choice:
    """One of several strings."""

    words: tuple[str | None, ...]
    """None where null is a choice too."""

    def describe(self, kind: Any) -> str:
        return "one of " + ", ".join("null" if word is None else word for word in self.words)

    def check(self, key: str, value: Any, kind: Any) -> None:
        require(value in self.words, key, self.describe(kind), value)


@dataclass(frozen=True)
class Numbers:
    """A list of `count` numbers (None: at least one), each in a range."""

    text: str
    """The rule as in the message: `<key> must be <text>`."""
    each: Range = Range()
    count: int | None = None
    remedy: str = ""

    def describe(self, kind: Any) -> str:
        return self.text

    def check(self, key: str, value: Any, kind: Any) -> None:
        right_length = len(value) == self.count if self.count is not None else len(value) > 0
        require(
            right_length and all(map(self.each.holds, value)), key, self.text, value, self.remedy
        )


@dataclass(frozen=True)
class Regexes:
    """A list of regular expressions."""

    def describe(self, kind: Any) -> str:
        return "regular expressions"

    def check(self, key: str, value: Any, kind: Any) -> None:
        for i, pattern in enumerate(value):
            require_regex(pattern, f"{key}[{i}]")


@dataclass(frozen=True)
class Rule:
    """Any other rule about one value."""

    text: str
    """The rule as in the message: `<key> must be <text>`."""
    holds: Callable[[Any], bool]
    remedy: str = ""

    def describe(self, kind: Any) -> str:
        return self.text

    def check(self, key: str, value: Any, kind: Any) -> None:
        require(self.holds(value), key, self.text, value, self.remedy)


Seed = Annotated[int, Range(ge=0), Rule("an integer < 2**63", lambda value: value < 2**63)]
"""A seed that torch accepts."""


def check_fields(schema: type[Any], values: Node, prefix: str = "") -> None:
    """Apply the rules of the fields of `schema`; see `find_wrong_fields`.

    Raises:
        ConfigError: for the first rule that is broken.
    """
    for error in find_wrong_fields(schema, values, prefix):
        raise error


def find_wrong_fields(schema: type[Any], values: Node, prefix: str = "") -> Iterator[ConfigError]:
    """The first broken rule of every field of `schema`, and of nested schemas, in `values`.

    None is not checked: the type of a field decides whether it may be null.
    """
    for name, hint in hints_of(schema).items():  # type: ignore[arg-type]  # classes are hashable
        value = values.get(name)
        if is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
            yield from find_wrong_fields(hint, value, f"{prefix}{name}.")
        elif value is not None:
            yield from raised(check_field, prefix + name, value, hint)


def check_field(key: str, value: Any, hint: Any) -> None:
    """Apply the rules of one field.

    Raises:
        ConfigError: for the first rule that is broken.
    """
    rules: Iterable[FieldRule] = getattr(hint, "__metadata__", ())
    kind = get_args(hint)[0] if rules else hint
    if isinstance(value, (list, tuple)):
        check_entries(kind, value, key)
    for rule in rules:
        rule.check(key, value, kind)


@cache
def hints_of(schema: type[Any]) -> dict[str, Any]:
    """The annotations of a schema, which take longer to evaluate than to check."""
    return get_type_hints(schema, include_extras=True)


def raised(check: Callable[..., None], *args: Any) -> list[ConfigError]:
    """The error that a check raises, as a list of one; empty if it raises none."""
    try:
        check(*args)
    except ConfigError as error:
        return [error]
    return []


ENTRIES: dict[Any, tuple[str, tuple[type, ...]]] = {
    int: ("an integer", (int,)),
    float: ("a number", (int, float)),
    str: ("a string", (str,)),
}
"""Entry type of a list -> what an entry must be, in words and as classes."""


def check_entries(kind: Any, values: Sequence[object], key: str) -> None:
    """Each of `values` is what the list type `kind` says. OmegaConf sees to that for plain values;
    in a list of numbers it takes lists and mappings too.

    Raises:
        ConfigError: for the first that is not.
    """
    lists = [part for part in (kind, *get_args(kind)) if get_origin(part) is list]
    wanted = get_args(lists[0])[0] if lists else None
    if wanted not in ENTRIES:
        return
    rule, classes = ENTRIES[wanted]
    for i, value in enumerate(values):
        ok = isinstance(value, classes) and not isinstance(value, bool)
        require(ok, f"{key}[{i}]", rule, value)


def is_number(value: object) -> bool:
    """Whether `value` is a finite number; booleans are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_whole(kind: Any) -> bool:
    """Whether a field of this type takes integers only, as far as numbers go."""
    return kind is int or int in get_args(kind)


def is_target_node(value: object) -> bool:
    return isinstance(value, dict) and "_target_" in value


def require_choice(node: Node, key: str, choices: Iterable[object], prefix: str = "") -> None:
    """Check that `node[key]`, if present, is one of `choices`."""
    choices = list(choices)
    if key in node:
        rule = "one of " + ", ".join("null" if c is None else str(c) for c in choices)
        require(node[key] in choices, prefix + key, rule, node[key])


def require_regex(pattern: object, key: str) -> None:
    """Check that `pattern` compiles as a regular expression."""
    try:
        re.compile(str(pattern))
    except re.error as error:
        raise ConfigError(
            f"{key} must be a regular expression, got {pattern!r} ({error}). "
            "Escape special characters with a backslash."
        ) from None
