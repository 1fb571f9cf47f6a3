"""What composing a config decides, for comparison."""

from typing import Any


def describe(node: Any, parent: Any = None) -> Any:
    """Everything that composing decides about a node, and about those below it."""
    assert node._get_parent() is parent
    fields = vars(node._metadata)
    value = node._value()
    if isinstance(value, dict):
        value = {key: describe(child, node) for key, child in value.items()}
    elif isinstance(value, list):
        value = [describe(child, node) for child in value]
    return type(node), fields, value
