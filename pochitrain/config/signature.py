"""The parameters of the callable that a config node names."""

import inspect
from collections.abc import Callable
from typing import Any

from hydra.utils import get_object


def accepted_names(target: str) -> set[str] | None:
    """Names of the parameters of the callable `target`, without `*args` and `**kwargs`.

    None if it cannot be imported or has no signature; building it reports the reason. Only for
    targets that have passed the allow-list, since it imports them.
    """
    try:
        found: Callable[..., Any] = get_object(target)
        parameters = inspect.signature(found).parameters.values()
    except Exception:
        return None
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {parameter.name for parameter in parameters if parameter.kind in named}


def offer(node: Any, **available: Any) -> dict[str, Any]:
    """The entries of `available` that the target of `node` accepts and `node` does not set."""
    names = accepted_names(str(node.get("_target_"))) or set()
    return {
        name: value for name, value in available.items() if name in names and node.get(name) is None
    }
