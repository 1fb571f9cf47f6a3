"""Which callables a config may name in `_target_`.

A config file can come from anywhere (an experiment of a colleague, the config in a checkpoint), so
it may only build what is listed here. More is allowed by the person at the keyboard alone, with
`allow_targets=[mypackage.*]` on the command line.
"""

from pochitrain.error import ConfigError

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
