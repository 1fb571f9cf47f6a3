"""What the callable of a node asks for."""

import inspect
from collections.abc import Callable
from typing import Any

from hydra.utils import get_object


def accepted_names(target: str) -> set[str] | None:
    """Names of the parameters of the callable called `target`, of which those of a config node are
    a part; None where it cannot be found or has no signature (to build it will say why).

    `**options` names nothing. Call this for targets that have passed the allow-list only: it
    imports them.
    """
    try:
        found: Callable[..., Any] = get_object(target)
        parameters = inspect.signature(found).parameters.values()
    except Exception:
        return None
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {parameter.name for parameter in parameters if parameter.kind in named}


def offer(node: Any, **available: Any) -> dict[str, Any]:
    """Those of `available` that the target of `node` takes and the node itself does not give."""
    names = accepted_names(str(node.get("_target_"))) or set()
    return {
        name: value for name, value in available.items() if name in names and node.get(name) is None
    }
