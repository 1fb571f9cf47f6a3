"""Resolves references to objects in the file given with `--config`, by executing it."""

import functools
import re
from typing import Any

from pochitrain.config.target_allowlist import TrustedFiles
from pochitrain.error import ConfigError
from pochitrain.legacy.read import PythonConfig, read_python_config

STEP = re.compile(r"\.(?P<name>\w+)|\[(?P<index>\d+)\]|\['(?P<key>[^']*)'\]")

_executed: dict[str, PythonConfig] = {}
"""Path -> config of the files that this process has executed; each runs only once."""


def trust(config: PythonConfig, references: list[tuple[str, str]]) -> None:
    """Allow `references` (file, attribute), which this file made, to be resolved."""
    _executed[config.path] = config
    trusted = TrustedFiles.instance()
    trusted.resolvers = dict.fromkeys([config.path, *(file for file, _ in references)], resolve)
    trusted.targets = sorted({name for pair in references for name in target_names(resolve(*pair))})


def trust_nothing() -> None:
    """Allow no references, as at the start of a command."""
    trusted = TrustedFiles.instance()
    trusted.resolvers, trusted.targets = {}, []


def target_names(found: Any) -> list[str]:
    """The names that Hydra's allow-list needs for an object: its own and that of its class."""
    while isinstance(found, functools.partial):
        found = found.func
    names = []
    for thing in (found, type(found)):
        module = getattr(thing, "__module__", None)  # a method of a C class has none
        if hasattr(thing, "__qualname__") and module not in (None, "builtins"):
            names.append(f"{module}.{thing.__qualname__}")
    return names


def resolve(file: str, attribute: str) -> Any:
    """The object at `attribute`: a name, followed by `.part`, `[number]` or `['key']`.

    In a recorded transform, `.part` is the constructor argument of that name.

    Raises:
        ConfigError: if the file no longer has such an object.
    """
    if file not in _executed:  # in a worker process
        _executed[file] = read_python_config(file)
    config = _executed[file]
    name = re.split(r"[.\[]", attribute, maxsplit=1)[0]
    try:
        value = config.names[name]
        for step in STEP.finditer(attribute, len(name)):
            value = follow(config, value, step)
    except (KeyError, IndexError, AttributeError, TypeError):
        raise ConfigError(f"{file} no longer holds {attribute!r}.") from None
    return value


def follow(config: PythonConfig, value: Any, step: re.Match[str]) -> Any:
    """Apply one step (`.part`, `[number]` or `['key']`) of a path to `value`."""
    if step["index"] is not None:
        return value[int(step["index"])]
    if step["key"] is not None:
        return value[step["key"]]
    record = config.recorder.find(value)
    if record is not None and step["name"] in record.arguments:
        return record.arguments[step["name"]]
    return getattr(value, step["name"])
