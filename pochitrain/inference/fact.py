"""Validation of the metadata in a model file, which may come from an untrusted source."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pochitrain.error import ConfigError

MAX_DEPTH = 50
"""Nesting of lists and mappings; that of our own metadata is a tenth of this."""


def parse_facts(text: str) -> Any:
    """Parse JSON text.

    Raises:
        ValueError: if it is not JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def check_facts(config: Any, names: Any, nodes: Any) -> None:
    """Check the metadata that inference reads.

    Args:
        config: the resolved config of the run.
        names: the class names.
        nodes: the nodes of the validation transform.

    Raises:
        TypeError: for the first value of a wrong type.
        ValueError: if a value is nested too deeply or holds an interpolation.
    """
    require_plain([config, nodes])
    if not (isinstance(config, Mapping) and isinstance(config["data"], Mapping)):
        raise TypeError("config is not a mapping with data")
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise TypeError("class_names is not a list of names")
    if not (isinstance(nodes, list) and nodes and all(isinstance(node, Mapping) for node in nodes)):
        raise TypeError("transforms.val is not a list of nodes")
    for key in REQUIRED:
        if key not in config:
            raise TypeError(f"config.{key} is missing")
    for key, rule, holds in RULES:
        check_setting(config, key, rule, holds)


def require_plain(tree: Any) -> None:
    """Refuse interpolations and deep nesting. Afterwards recursion over the tree is safe."""
    level = [tree]
    for _ in range(MAX_DEPTH):
        children = [
            list(node.values()) if isinstance(node, Mapping) else node
            for node in level
            if isinstance(node, (Mapping, list, tuple))
        ]
        if any(isinstance(node, str) and "${" in node for node in level):
            raise ValueError("a value is not resolved: it holds ${")
        level = [child for group in children for child in group]
    if level:
        raise ValueError("nested too deeply")


def check_setting(
    config: Mapping[str, Any], key: str, rule: str, holds: Callable[[Any], bool]
) -> None:
    """Check the value at a dotted key, if there is one; `rule` describes what `holds` checks."""
    node: Any = config
    for name in key.split("."):
        if not isinstance(node, Mapping):
            raise TypeError(f"config.{key} is inside a value that is not a mapping")
        if name not in node:
            return
        node = node[name]
    if not holds(node):
        raise TypeError(f"config.{key} is not {rule}")


def is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def is_integer(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def is_color(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) == 3
        and all(is_integer(part, 0, 255) for part in value)
    )


RULES: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    ("batch_size", "an integer >= 1", lambda value: is_integer(value, 1, 2**31)),
    ("seed", "an integer", lambda value: is_integer(value, -(2**63), 2**64)),
    ("device", "a name", is_text_or_none),
    ("precision", "a name", lambda value: isinstance(value, str)),
    ("channels_last", "true or false", lambda value: isinstance(value, bool)),
    ("model", "a mapping", lambda value: isinstance(value, Mapping)),
    ("data.background", "three integers from 0 to 255", is_color),
    ("data.encoding", "a name", is_text_or_none),
    ("data.root", "a path", is_text_or_none),
    ("data.table", "a path", is_text_or_none),
    ("data.train_root", "a path", is_text_or_none),
    ("data.train_shards", "a path", is_text_or_none),
    ("data.val_root", "a path", is_text_or_none),
    ("data.val_shards", "a path", is_text_or_none),
    ("confusion_matrix", "a mapping", lambda value: isinstance(value, Mapping)),
)
"""(key, rule, check) of the settings that inference reads."""

REQUIRED = ("batch_size", "model", "confusion_matrix")


def read_size(value: Any) -> tuple[int, int] | None:
    """Height and width in pixels; None if `value` is not such a pair."""
    if isinstance(value, (list, tuple)) and len(value) == 2:
        height, width = value
        if is_integer(height, 1, 2**20) and is_integer(width, 1, 2**20):
            return height, width
    return None


def check_graph(session: Any, file: Path, num_classes: int) -> tuple[int, int]:
    """Height and width of the input of an exported model.

    Raises:
        ConfigError: if it does not map images to a number for each class.
    """
    inputs, outputs = session.get_inputs(), session.get_outputs()
    shapes = [list(entry.shape) for entry in (*inputs, *outputs)]
    size = read_size(shapes[0][2:]) if shapes and len(shapes[0]) == 4 else None
    fits = len(inputs) == len(outputs) == 1 and inputs[0].type == "tensor(float)"
    if not fits or size is None or shapes[0][1] != 3 or shapes[1][1:] != [num_classes]:
        raise ConfigError(
            f"{file} must map float32 pictures of shape (N, 3, H, W) to a number for each "
            f"of its {num_classes} classes, got {shapes}. Export it with `pochi export RUN`."
        )
    return size
