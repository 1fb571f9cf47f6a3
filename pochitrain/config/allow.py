"""Which callables a config may name in `_target_`.

A config file can come from anywhere (an experiment of a colleague, the config in a checkpoint), so
it may only build what is listed here. More is allowed by the person at the keyboard alone, with
`allow_targets=[mypackage.*]` on the command line.
"""

from collections.abc import Sequence
from typing import Any

from pochitrain.error import ConfigError, require

ALLOWED_TARGETS = [
    "pochitrain.callback.*",
    "pochitrain.data.*",
    "pochitrain.loss.*",
    "pochitrain.model.*",
    "pochitrain.optimizer.*",
    "pochitrain.scheduler.*",
    "pochitrain.transform.*",
    "torch.nn.*",
    "torch.optim.*",
    "torchvision.models.*",
    "torchvision.transforms.*",
    "torchvision.tv_tensors.*",
]


def allowed_targets(extra: list[str], task_overrides: list[str] | None) -> list[str]:
    """The built-in list plus `extra`.

    Args:
        extra: the value of `allow_targets` in the composed config.
        task_overrides: the command line of this run; None where there is none to compare with.

    Raises:
        ConfigError: if `extra` was set by a config file.
    """
    from_keyboard = task_overrides is not None and any(
        word.lstrip("+").startswith("allow_targets=") for word in task_overrides
    )
    if extra and not from_keyboard:
        raise ConfigError(
            f"allow_targets must be given on the command line, got {extra!r} from a config file, "
            "which could then run anything. If you trust it, add "
            f"'allow_targets=[{','.join(extra)}]' to the command."
        )
    return [*ALLOWED_TARGETS, *extra]


def refuse_forbidden_targets(node: Any, allowed: Sequence[str], key: str = "") -> None:
    """Walk a plain tree and refuse a `_target_` that is not allowed, before anything is imported.

    Hydra checks again, with the object that the name leads to, when it instantiates the node.

    Args:
        allowed: names of callables, or of packages followed by `.*`.
        key: dotted key of `node`, for the message.

    Raises:
        ConfigError: for the first target that is no name or is not allowed.
    """
    if isinstance(node, (list, tuple)):
        for i, child in enumerate(node):
            refuse_forbidden_targets(child, allowed, f"{key}[{i}]")
    if not isinstance(node, dict):
        return
    if "_target_" in node:
        target = node["_target_"]
        require(isinstance(target, str), f"{key}._target_", "the name of a callable", target)
        if not any(matches(target, pattern) for pattern in allowed):
            raise ConfigError(
                f"{key}._target_ must be a callable that a config may run, got {target!r}. "
                f"If you trust it, allow it on the command line: 'allow_targets=[{target}]'."
            )
    for name, child in node.items():
        refuse_forbidden_targets(child, allowed, f"{key}.{name}" if key else str(name))


def matches(target: str, pattern: str) -> bool:
    if pattern.endswith(".*"):
        return target.startswith(pattern[:-1])
    return target == pattern
