"""Which kernels an optimizer steps with: fused ones, where torch has them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.optim import Adagrad, Adam, AdamW, Optimizer

FUSED: dict[type[Optimizer], tuple[str, ...]] = {
    Adam: ("cpu", "cuda"),
    AdamW: ("cpu", "cuda"),
    Adagrad: ("cpu",),
}
"""Class -> types of devices on which one kernel updates all parameters. Exactly these classes:
those derived from them may compute something else. Not SGD: its fused kernel fails on parameters
that have a gradient only from some step on (model.freeze=1), and a whole step gains 1 %."""


def can_be_fused(kind: object, parameters: Iterable[Tensor]) -> bool:
    """Whether torch has a fused kernel for an optimizer class and all of these parameters."""
    devices = next((names for known, names in FUSED.items() if kind is known), ())
    return all(p.device.type in devices and p.is_floating_point() for p in parameters)


def choose_kernels(
    kind: object, given: Mapping[str, Any], groups: Sequence[Mapping[str, Any]]
) -> dict[str, bool]:
    """The argument that makes an optimizer fused; empty where that is impossible or not wanted.

    Without it torch chooses: one call for all tensors (foreach) on a GPU, a loop on a CPU.

    Args:
        kind: class or function that builds the optimizer.
        given: arguments from the config; `fused` or `foreach` there decides.
        groups: parameter groups.
    """
    decided = given.get("fused") is not None or given.get("foreach") is not None
    if decided or given.get("differentiable") or given.get("capturable"):
        return {}
    parameters = [parameter for group in groups for parameter in group["params"]]
    return {"fused": True} if can_be_fused(kind, parameters) else {}


def settle_kernels(optimizer: Optimizer) -> None:
    """Make a loaded state usable: the kernels are those of the run that saved it.

    An earlier version saved runs without fused kernels, which go on without them, so that the
    result stays the same. Where this device has none, torch's choice takes over.
    """
    for group in optimizer.param_groups:
        if group.get("fused") and not can_be_fused(type(optimizer), group["params"]):
            group["fused"] = None
            for parameter in group["params"]:
                state = optimizer.state[parameter]
                if "step" in state:
                    state["step"] = state["step"].cpu()  # where the other kernels expect it
    fused = all(group.get("fused") for group in optimizer.param_groups)
    if hasattr(optimizer, "_step_supports_amp_scaling"):
        # Whether the scaler leaves it to the kernel to skip a step that overflowed.
        setattr(optimizer, "_step_supports_amp_scaling", fused)


def name_kernels(optimizer: Optimizer) -> str:
    """The class of the optimizer, and how it steps where that is not torch's own choice."""
    first = optimizer.param_groups[0]
    how = next((f"{name} " for name in ("fused", "foreach") if first.get(name)), "")
    return f"{how}{type(optimizer).__name__}"
