"""Conversion of values in a Python config to plain values, and checks of their types."""

import numbers
import types
from collections.abc import Mapping
from dataclasses import is_dataclass
from pathlib import PurePath
from typing import Any, Union, get_args, get_origin

from pochitrain.error import require
from pochitrain.text import escape_interpolations

NAMES = {int: "an integer", float: "a number", bool: "True or False", str: "a text"}


class ConfigNode(dict[str, Any]):
    """A `_target_` node written in a Python config, for which there is no constructor call."""


def config_node(value: Any) -> Any:
    """`value` with all dictionaries in it converted to ConfigNode."""
    if isinstance(value, Mapping):
        return ConfigNode({key: config_node(entry) for key, entry in value.items()})
    if isinstance(value, (list, tuple)):
        return [config_node(entry) for entry in value]
    return value


def follow_learning_rate(node: dict[str, Any], learning_rate: float | None) -> None:
    """Replace the `lr` of an optimizer node by `${learning_rate}` if it has that value."""
    if node.get("lr") == learning_rate:
        node["lr"] = "${learning_rate}"


def plain_value(value: Any) -> Any:
    """Convert tuples, ranges, arrays, paths and torch devices to lists, numbers and strings."""
    if isinstance(value, ConfigNode):
        return value
    kind = type(value)
    if isinstance(value, PurePath) or (kind.__module__, kind.__name__) == ("torch", "device"):
        return str(value)
    if isinstance(value, Mapping):
        return {key: plain_value(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [plain_value(entry) for entry in value]
    if hasattr(value, "tolist") and hasattr(value, "dtype"):  # NumPy and torch
        return plain_value(value.tolist())
    return value


def check_value(value: Any, hint: Any, name: str) -> Any:
    """Convert `value` to the type `hint` of its field; strings are escaped for OmegaConf.

    Raises:
        ConfigError: for another type. Booleans and strings are not numbers.
    """
    kind = get_origin(hint)
    if kind in (Union, types.UnionType):
        inner = [part for part in get_args(hint) if part is not type(None)]
        return None if value is None else check_value(value, inner[0], name)
    if hint is Any:
        return value
    if is_dataclass(hint):
        return check_value(value, dict[str, Any], name)
    if kind is list:
        require(isinstance(value, list), name, "a list", value)
        (entry_hint,) = get_args(hint)
        return [check_value(entry, entry_hint, f"{name}[{i}]") for i, entry in enumerate(value)]
    if kind is dict:
        require(isinstance(value, dict), name, "a dictionary", value)
        entry_hint = get_args(hint)[1]
        for key in value:
            require(isinstance(key, str), name, "a dictionary with texts as keys", value)
        return {
            key: check_value(entry, entry_hint, f"{name}[{key!r}]") for key, entry in value.items()
        }
    require(has_type(value, hint), name, NAMES[hint], value)
    if hint is str:
        require(value != "???", name, 'another text than "???", which means missing', value)
        return escape_interpolations(value)
    return hint(value)


def has_type(value: Any, hint: type) -> bool:
    """Whether `value` is of type `hint`; integers are floats too, booleans are not numbers."""
    if hint is bool:
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if hint is int:
        return isinstance(value, numbers.Integral)
    return isinstance(value, numbers.Real if hint is float else hint)
