"""Rendering of config values as Python expressions."""

import math
from collections.abc import Sequence
from typing import Any

WIDTH = 96

# Longest prefix first: package of the target -> its name in the file, its import statement.
SHORT_NAMES = {
    "torchvision.transforms.v2.": ("v2.", "from torchvision.transforms import v2"),
    "torchvision.transforms.": ("transforms.", "from torchvision import transforms"),
    "torch.nn.": ("nn.", "from torch import nn"),
}
ENUMS = ("InterpolationMode", "AutoAugmentPolicy")
SPECIAL_KEYS = {"_partial_", "_recursive_", "_convert_"}


class PythonCode:
    """Renders values, and collects the imports that they need.

    Args:
        names: variables of the file, such as mean and std, and their values.
        literal: write `_target_` nodes as dictionaries instead of calls.
    """

    def __init__(self, names: dict[str, Any] | None = None, literal: bool = False) -> None:
        self.names = names or {}
        self.literal = literal
        self.imports: set[str] = set()

    def render(self, value: Any, indent: int = 0) -> str:
        """`value` as an expression; lines after the first are indented by `indent` spaces."""
        flat = self.layout(value, None)
        return flat if len(flat) + indent <= WIDTH else self.layout(value, indent)

    def layout(self, value: Any, indent: int | None) -> str:
        """`value` as an expression over several lines; on one line if `indent` is None."""
        if isinstance(value, dict) and "_target_" in value and not self.literal:
            return self.node(value, indent)
        if isinstance(value, dict):
            return self.dictionary(value, indent)
        if isinstance(value, (list, tuple)):
            if isinstance(value, tuple):
                flat = ", ".join(self.render(entry) for entry in value)
                return f"({flat},)" if len(value) == 1 else f"({flat})"
            return self.join("[", [("", entry) for entry in value], "]", indent)
        return scalar(value)

    def join(
        self, head: str, entries: Sequence[tuple[str, Any]], tail: str, indent: int | None
    ) -> str:
        """Join `head`, entries (prefix, value) and `tail`, on one line if `indent` is None."""
        if indent is None or not entries:
            return head + ", ".join(key + self.layout(entry, None) for key, entry in entries) + tail
        inner = indent + 4
        lines = [" " * inner + key + self.render(entry, inner) + ",\n" for key, entry in entries]
        return f"{head}\n{''.join(lines)}{' ' * indent}{tail}"

    def node(self, node: dict[str, Any], indent: int | None) -> str:
        """A `_target_` node as a call."""
        target = str(node["_target_"])
        arguments = {key: entry for key, entry in node.items() if key != "_target_"}
        kind = target.rpartition(".")[2]
        if target == "pochitrain.transform.value.torch_dtype":
            self.imports.add("import torch")
            return f"torch.{arguments['name']}"
        if target == "pochitrain.transform.value.as_tuple":
            return self.layout(tuple(arguments["items"]), None)
        if target == "pochitrain.transform.value.tensor":
            self.imports.add("import torch")
            entries = [("", arguments["data"]), ("dtype=", dtype_node(arguments["dtype"]))]
            return self.join("torch.tensor(", entries, ")", indent)
        if target == "pochitrain.transform.value.array":
            self.imports.add("import numpy as np")
            entries = [("", arguments["data"]), ("dtype=", arguments["dtype"])]
            return self.join("np.array(", entries, ")", indent)
        for prefix, (short, statement) in SHORT_NAMES.items():
            if target.startswith(prefix) and is_call(node):
                self.imports.add(statement)
                if kind in ENUMS:
                    member = str(arguments["value"]).upper().replace("-", "_")
                    return f"{short}{kind}.{member}"
                return self.call(f"{short}{kind}", arguments, indent)
        self.imports.add("from pochitrain.legacy.node import ConfigNode")
        return f"ConfigNode({self.dictionary(node, indent)})"

    def dictionary(self, node: dict[str, Any], indent: int | None) -> str:
        entries = [(f"{quote(key)}: ", entry) for key, entry in node.items()]
        return self.join("{", entries, "}", indent)

    def call(self, name: str, arguments: dict[str, Any], indent: int | None) -> str:
        """A constructor call. An argument that equals the variable of its name refers to it."""
        entries: list[tuple[str, Any]] = [("", entry) for entry in arguments.get("_args_", [])]
        for key, entry in arguments.items():
            if key == "_args_":
                continue
            variable = self.names.get(key) == entry and entry is not None
            entries.append((f"{key}=", Variable(key) if variable else entry))
        return self.join(f"{name}(", entries, ")", indent)


VALUE = "pochitrain.transform.value."


def is_call(value: Any) -> bool:
    """Whether a value and everything in it can be written as constructor calls.

    If an argument must be a ConfigNode, the whole call is written as one, because constructors may
    refuse it (`Lambda` needs a callable).
    """
    if isinstance(value, (list, tuple)):
        return all(map(is_call, value))
    if not isinstance(value, dict):
        return True
    if not all(isinstance(key, str) and is_call(entry) for key, entry in value.items()):
        return False
    target = value.get("_target_")
    if target is None:
        return True
    known = [prefix for prefix in SHORT_NAMES if str(target).startswith(prefix)]
    name = str(target).removeprefix(known[0]) if known else str(target).removeprefix(VALUE)
    if known:
        return "." not in name and not SPECIAL_KEYS & set(value)
    return name in ("torch_dtype", "as_tuple", "tensor", "array")


class Variable(str):
    """The name of a variable, written without quotes."""


def dtype_node(name: str) -> dict[str, Any]:
    return {"_target_": "pochitrain.transform.value.torch_dtype", "name": name}


def quote(text: object) -> str:
    """A string literal, in double quotes unless that needs escapes."""
    literal = repr(text)
    if literal.startswith("'") and '"' not in literal:
        return f'"{literal[1:-1]}"'
    return literal


def scalar(value: Any) -> str:
    """A number, string, boolean or None as an expression, non-finite floats as float("nan")."""
    if isinstance(value, Variable):
        return str(value)
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    return repr(value)
