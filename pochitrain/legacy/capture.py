"""Records the arguments with which transforms are built while a user's file runs.

Reading the arguments back from the finished object is not enough: constructors normalise them
(`ColorJitter(brightness=0.2)` keeps `(0.8, 1.2)`), and some keep them under other names.
"""

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

PACKAGES = ("torchvision.transforms", "torchvision.transforms.v2", "torch.nn")


class Record(NamedTuple):
    """How an object was built."""

    built: Any
    """The object. The reference keeps it alive, so that its id is not reused."""
    kind: type[Any]
    arguments: dict[str, Any]
    """Arguments as given, by parameter name, without defaults."""
    variadic: str | None
    """Name of the parameter `*args`, if arguments were given for it."""


class Recorder:
    """Records how objects are built, and finds the record of an object."""

    def __init__(self) -> None:
        self.records: dict[int, Record] = {}

    def find(self, built: Any) -> Record | None:
        """The record of an object; None if it was not recorded."""
        record = self.records.get(id(built))
        return record if record is not None and record.built is built else None

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record in the block; the constructors of all transforms and layers are wrapped."""
        undo: list[Callable[[], None]] = []
        try:
            for kind in list_classes():
                undo.append(self.wrap(kind))
            yield
        finally:
            for restore in reversed(undo):
                restore()

    def wrap(self, kind: type[Any]) -> Callable[[], None]:
        """Make the constructor of `kind` record its calls; returns a function that undoes it."""
        own = "__init__" in vars(kind)
        original = kind.__init__
        signature = inspect.signature(original)

        @functools.wraps(original)
        def construct(self_: Any, *args: Any, **kwargs: Any) -> None:
            if type(self_) is kind:  # not if called by a subclass, which records itself
                self.remember(self_, kind, signature, args, kwargs)
            original(self_, *args, **kwargs)

        kind.__init__ = construct

        def restore() -> None:
            if own:
                kind.__init__ = original
            else:
                del kind.__init__

        return restore

    def remember(
        self,
        built: Any,
        kind: type[Any],
        signature: inspect.Signature,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        """Record an object and the arguments of its constructor."""
        try:
            bound = signature.bind(built, *args, **kwargs)
        except TypeError:
            return  # the constructor will raise the error
        parameters = list(signature.parameters.values())[1:]
        given = dict(list(bound.arguments.items())[1:])
        variadic = None
        for parameter in parameters:
            if parameter.kind is parameter.VAR_POSITIONAL and parameter.name in given:
                variadic = parameter.name
            if parameter.kind is parameter.VAR_KEYWORD:
                given.update(given.pop(parameter.name, {}))
        self.records[id(built)] = Record(built, kind, given, variadic)


def list_classes() -> list[type[Any]]:
    """The classes of torchvision's transforms, v1 and v2, and of torch's layers."""
    from enum import Enum

    import torchvision.transforms.v2  # noqa: F401  (imports transforms and torch.nn too)
    from torch import nn

    found: dict[type[Any], None] = {}
    for package in PACKAGES:
        for value in vars(sys.modules[package]).values():
            if not isinstance(value, type) or issubclass(value, Enum):
                continue
            if issubclass(value, nn.Module) or value.__module__.startswith("torchvision."):
                found[value] = None
    return list(found)


def public_name(thing: Any) -> str | None:
    """The shortest dotted name under which a package offers `thing`; None if there is none."""
    name = getattr(thing, "__name__", None)
    module = str(getattr(thing, "__module__", ""))
    parts = module.split(".")
    for length in range(2, len(parts) + 1):
        package = ".".join(parts[:length])
        if getattr(sys.modules.get(package), str(name), None) is thing:
            return f"{package}.{name}"
    return None
