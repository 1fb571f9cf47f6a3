"""Conversion of objects in a Python config to `_target_` nodes.

A recorded transform (capture.py) becomes a node with its class and arguments. To make sure that
they are complete, an object is built from them and compared with the original. An object without
such a node (a lambda, a function, an instance of a user's class) becomes a reference: the file and
a name in it.
"""

import enum
import inspect
import numbers
import warnings
from collections.abc import Mapping
from typing import Any

from pochitrain.legacy.capture import Record, Recorder, public_name
from pochitrain.legacy.value import ConfigNode
from pochitrain.text import escape_interpolations

REFERENCE = "pochitrain.transform.reference.load_reference"
VALUE = "pochitrain.transform.value"
MAX_TENSOR = 4096
"""Largest number of elements of a tensor or an array that is written into a config."""


class NodeWriter:
    """Converts the objects of one file to nodes.

    Args:
        file: absolute path of the file, for references.
        names: the variables of the file.
        recorder: records of the objects built while it ran.
    """

    def __init__(self, file: str, names: Mapping[str, Any], recorder: Recorder) -> None:
        self.file = file
        self.names = names
        self.recorder = recorder
        self.references: list[tuple[str, str]] = []
        """Objects that exist only in a Python file: (file, attribute)."""

    def steps(self, pipeline: Any, name: str) -> list[Any]:
        """The nodes of the steps of a pipeline, the value of variable `name`."""
        record = self.recorder.find(pipeline)
        if record is not None and record.kind.__name__ in ("Compose", "Sequential"):
            (part, steps), *more = record.arguments.items()
            if not more and isinstance(steps, (list, tuple)) and self.is_intact(record):
                return [self.node(step, f"{name}.{part}[{i}]") for i, step in enumerate(steps)]
        if isinstance(pipeline, (list, tuple)):
            return [self.node(step, f"{name}[{i}]") for i, step in enumerate(pipeline)]
        return [self.node(pipeline, name)]

    def node(self, value: Any, path: str) -> Any:
        """The node of any value; `path` is the expression for it in the file, for references."""
        record = self.recorder.find(value)
        if record is not None:
            return self.recorded(record, path)
        if isinstance(value, ConfigNode):
            if value.get("_target_") == REFERENCE:
                self.references.append((str(value["file"]), str(value["attribute"])))
            return {key: self.node(entry, f"{path}[{key!r}]") for key, entry in value.items()}
        return self.plain(value, path)

    def recorded(self, record: Record, path: str) -> dict[str, Any]:
        """The node of a recorded object, or a reference if its arguments do not reproduce it."""
        target = public_name(record.kind)
        arguments = self.matching_arguments(record)
        if target is None or arguments is None:
            return self.reference(record.built, path)
        node: dict[str, Any] = {"_target_": target}
        order = list(arguments)
        before = order[: order.index(record.variadic)] if record.variadic else []
        positional = [self.node(arguments.pop(key), f"{path}.{key}") for key in before]
        if record.variadic:
            entries = arguments.pop(record.variadic)
            where = f"{path}.{record.variadic}"
            positional += [self.node(entry, f"{where}[{i}]") for i, entry in enumerate(entries)]
        if positional:
            node["_args_"] = positional
        for key, entry in arguments.items():
            node[key] = self.node(entry, f"{path}.{key}")
        return node

    def matching_arguments(self, record: Record) -> dict[str, Any] | None:
        """Arguments that build an equal object, if possible without tuples; None if none do."""
        for arguments in (lists_for_tuples(record), record.arguments):
            if is_equal(record, arguments):
                return {
                    key: Exact(value) if holds_tuple(value) and key != record.variadic else value
                    for key, value in arguments.items()
                }
        return None  # the object was changed after it was built

    def is_intact(self, record: Record) -> bool:
        """Whether the object is still as its arguments describe it."""
        return is_equal(record, record.arguments)

    def plain(self, value: Any, path: str) -> Any:
        """The node of a value that was not recorded. Tuples become lists."""
        if isinstance(value, Exact):
            return self.exact(value.value, path)
        if isinstance(value, list) and (link := self.link(value, path)):
            return link
        if isinstance(value, enum.Enum):
            return self.special(value, path)
        if isinstance(value, str):
            return escape_interpolations(value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, numbers.Real):  # includes NumPy scalars
            return int(value) if isinstance(value, numbers.Integral) else float(value)
        if isinstance(value, (list, tuple)):
            return [self.node(entry, f"{path}[{i}]") for i, entry in enumerate(value)]
        if isinstance(value, dict):
            return self.dictionary(value, path)
        return self.special(value, path)

    def link(self, value: Any, path: str) -> str | None:
        """`${mean}` or `${std}`, if `value` is that variable of the file; else None.

        Only for an argument of that name: Python may store equal constants once, so identity
        alone does not show which variable was meant.
        """
        name = path.rpartition(".")[2]
        own = name in ("mean", "std") and self.names.get(name) is value
        return f"${{{name}}}" if own and len(value) == 3 else None

    def exact(self, value: Any, path: str) -> Any:
        """As `plain`, but tuples stay tuples."""
        if not isinstance(value, (list, tuple)):
            return self.node(value, path)
        if isinstance(value, tuple) and (link := self.link(value, path)):
            return {"_target_": f"{VALUE}.as_tuple", "items": link}
        entries = [self.exact(entry, f"{path}[{i}]") for i, entry in enumerate(value)]
        if isinstance(value, list):
            return entries
        return {"_target_": f"{VALUE}.as_tuple", "items": entries}

    def dictionary(self, value: dict[Any, Any], path: str) -> dict[str, Any]:
        """A dictionary of nodes; one with other keys than strings as a node that builds it."""
        if all(isinstance(key, str) for key in value) and "_target_" not in value:
            return {key: self.node(entry, f"{path}[{key!r}]") for key, entry in value.items()}
        return {
            "_target_": f"{VALUE}.mapping",
            "keys": [self.node(key, path) for key in value],
            "values": [self.node(entry, f"{path}[{key!r}]") for key, entry in value.items()],
        }

    def special(self, value: Any, path: str) -> Any:
        """The node of an enum, dtype, small array or object of torchvision; else a reference."""
        import numpy as np
        import torch

        if isinstance(value, enum.Enum):
            target = public_name(type(value))
            if target is not None and target.startswith("torchvision.transforms."):
                return {"_target_": enum_name(type(value)), "value": value.value}
        if isinstance(value, torch.dtype):
            name = str(value).removeprefix("torch.")
            return {"_target_": f"{VALUE}.torch_dtype", "name": name}
        if type(value) is torch.Tensor and value.numel() <= MAX_TENSOR:
            name = str(value.dtype).removeprefix("torch.")
            data = self.link(value, path) or value.tolist()
            return {"_target_": f"{VALUE}.tensor", "data": data, "dtype": name}
        if type(value) is np.ndarray and value.size <= MAX_TENSOR and value.dtype.kind in "biuf":
            data = self.link(value, path) or value.tolist()
            return {"_target_": f"{VALUE}.array", "data": data, "dtype": value.dtype.name}
        if isinstance(value, type) and value.__module__.startswith("torchvision.tv_tensors"):
            return {"_target_": f"{VALUE}.tv_tensor_type", "name": value.__name__}
        if inspect.isfunction(value) and value.__module__.startswith("torchvision.transforms"):
            target = public_name(value)
            if target is not None:
                return {"_target_": target, "_partial_": True}
        return self.reference(value, path)

    def reference(self, value: Any, path: str) -> dict[str, Any]:
        """A reference to the object, by its variable if it has one, else by `path`."""
        names = [name for name, entry in self.names.items() if entry is value]
        attribute = names[0] if names else path
        if (self.file, attribute) not in self.references:
            self.references.append((self.file, attribute))
        return {"_target_": REFERENCE, "file": self.file, "attribute": attribute}


class Exact:
    """Marks an argument in which tuples must stay tuples."""

    def __init__(self, value: Any) -> None:
        self.value = value


def enum_name(kind: type[enum.Enum]) -> str:
    """The public name of an enum, in torchvision.transforms if it is exported there."""
    import torchvision.transforms

    short = getattr(torchvision.transforms, kind.__name__, None) is kind
    return f"torchvision.transforms.{kind.__name__}" if short else str(public_name(kind))


def holds_tuple(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(holds_tuple, value))
    return isinstance(value, tuple)


def lists_for_tuples(record: Record) -> dict[str, Any]:
    """The recorded arguments, with tuples converted to lists."""

    def convert(value: Any) -> Any:
        if not holds_tuple(value):
            return value  # the same object, so that `link` recognises it
        return [convert(entry) for entry in value]

    return {key: convert(value) for key, value in record.arguments.items()}


def is_equal(record: Record, arguments: dict[str, Any]) -> bool:
    """Whether an object built with `arguments` equals the recorded one (see `state`)."""
    rest = dict(arguments)
    positional: list[Any] = []
    if record.variadic:
        for key in list(rest):
            entry = rest.pop(key)
            positional += entry if key == record.variadic else [entry]
            if key == record.variadic:
                break
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            copy = record.kind(*positional, **rest)
            return state(copy) == state(record.built)
    except Exception:
        return False


def state(built: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The repr, the simple attributes and the weights of an object, to compare it with another.

    Randomly initialised weights differ, so layers that have them never compare as equal.
    """
    simple = (bool, int, float, str, enum.Enum, type(None))

    def is_simple(value: Any) -> bool:
        if isinstance(value, (list, tuple)):
            return all(map(is_simple, value))
        return isinstance(value, simple)

    shown = {key: value for key, value in vars(built).items() if is_simple(value)}
    weights = built.state_dict() if hasattr(built, "state_dict") else {}
    return repr(built), shown, {key: value.tolist() for key, value in weights.items()}
