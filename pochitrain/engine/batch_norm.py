"""Batch norm whose statistics are those of the images of all processes.

torch's SyncBatchNorm is for GPUs only, and would replace layers of others (timm's have an
activation inside). Here a layer stays what it is: in training, `F.batch_norm` inside it is another
function. Names, state dict, running statistics and evaluation are those of the layer.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules._functions import SyncBatchNorm
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from pochitrain.engine.process_group import Peers

# C channels; N images and pixels of this process together; R ranks.

_sharing: list[Peers] = []
"""The group with which statistics are shared at the moment; empty = none."""


@contextmanager
def shared_statistics(group: Peers) -> Iterator[None]:
    """In the block, the layers that `share_batch_norm` has prepared share their statistics."""
    _sharing.append(group)
    try:
        yield
    finally:
        _sharing.pop()


def share_batch_norm(model: nn.Module) -> int:
    """Prepare the batch norm of `model`, in place; returns the number of such layers."""
    layers = [part for part in model.modules() if isinstance(part, _BatchNorm)]
    for layer in layers:
        kind: Any = type(layer)
        setattr(layer, "__class__", shared_class(kind))
    return len(layers)


class SharedNorm:
    """In front of a class of batch norm."""

    def forward(self, images: Tensor) -> Tensor:
        """As the layer does, with the statistics of all processes in training."""
        # The layer's own: this class is only used in front of one (`shared_class`).
        plain: Callable[[Tensor], Tensor] = super().forward  # type: ignore[misc]
        if not _sharing or not getattr(self, "training"):
            return plain(images)
        with InsteadOfBatchNorm():
            return plain(images)


@cache
def shared_class(kind: Any) -> Any:
    """The class `kind` of layers with `SharedNorm` in front."""
    return kind if issubclass(kind, SharedNorm) else type(kind.__name__, (SharedNorm, kind), {})


class InsteadOfBatchNorm(TorchFunctionMode):
    """Calls `batch_norm` below wherever `F.batch_norm` is called."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        called = batch_norm if func is F.batch_norm else func
        return called(*args, **(kwargs or {}))


def batch_norm(
    images: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`F.batch_norm` over the images of all processes; shape (B, C, ...)."""
    group = _sharing[-1]
    if not training:
        return F.batch_norm(images, running_mean, running_var, weight, bias, False, momentum, eps)
    running = (running_mean, running_var)
    if images.is_cuda:
        shared: Any = SyncBatchNorm.apply
        size = group.size
        result: Tensor = shared(
            images, weight, bias, *running, eps, momentum, group.statistics, size
        )
    else:
        result = SharedBatchNorm.apply(images, weight, bias, *running, momentum, eps, group)
    return result


class SharedBatchNorm(torch.autograd.Function):
    """Batch norm on a CPU, in the passes over memory that torch's own takes."""

    @staticmethod
    def forward(
        ctx: Any,
        images: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        momentum: float,
        eps: float,
        group: Peers,
    ) -> Tensor:
        mean_C, var_C, total = combine(images, group)
        if running_mean is not None and running_var is not None:
            running_mean.lerp_(mean_C.to(running_mean.dtype), momentum)
            unbiased_C = var_C * (total / max(1.0, total - 1))
            running_var.lerp_(unbiased_C.to(running_var.dtype), momentum)
        invstd_C = torch.rsqrt(var_C + eps)
        scale_C = invstd_C if weight is None else invstd_C * weight
        shift_C = -mean_C * scale_C if bias is None else bias - mean_C * scale_C
        ctx.save_for_backward(images, weight, mean_C, var_C, invstd_C)
        ctx.total, ctx.group, ctx.eps = total, group, eps
        return scale_and_shift(images, scale_C, shift_C)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        images, weight, mean_C, var_C, invstd_C = ctx.saved_tensors
        ones_C = torch.ones_like(mean_C)
        # In evaluation mode this gives the sums of gradient * normalised image and of gradient.
        _, dot_C, sum_C = torch.ops.aten.native_batch_norm_backward(
            gradient, images, ones_C, mean_C, var_C, None, None, False, ctx.eps, [False, True, True]
        )
        of_images = None
        if ctx.needs_input_grad[0]:
            sums_2C = torch.stack([dot_C, sum_C])
            dist.all_reduce(sums_2C, group=ctx.group.statistics)
            scale_C = invstd_C if weight is None else invstd_C * weight
            by_image_C = -scale_C * invstd_C * sums_2C[0] / ctx.total
            shift_C = -scale_C * sums_2C[1] / ctx.total - by_image_C * mean_C
            of_images = scale_and_shift(gradient, scale_C, shift_C)
            of_images.addcmul_(images, along_channels(by_image_C.to(images.dtype), images))
        of_weight = dot_C if ctx.needs_input_grad[1] else None
        of_bias = sum_C if ctx.needs_input_grad[2] else None
        return of_images, of_weight, of_bias, None, None, None, None, None


def along_channels(values_C: Tensor, images: Tensor) -> Tensor:
    return values_C.view(1, -1, *[1] * (images.ndim - 2))


def scale_and_shift(images: Tensor, scale_C: Tensor, shift_C: Tensor) -> Tensor:
    """images * scale + shift, in the number format of the images."""
    scale, shift = (along_channels(v.to(images.dtype), images) for v in (scale_C, shift_C))
    return torch.addcmul(shift, images, scale)


def combine(images: Tensor, group: Peers) -> tuple[Tensor, Tensor, float]:
    """Mean and biased variance of each channel over all processes, and the number of values.

    Means and squared deviations are combined (Chan et al. 1979), in the same order everywhere, so
    that all processes get the same bits.

    Returns:
        float32 (or float64), shape (C,), twice; number of values per channel.
    """
    channels = images.shape[1]
    count = images.numel() // channels
    dtype = torch.promote_types(images.dtype, torch.float32)
    # Zeros of this type, or the kernel would sum in the number format of the images.
    unused_C = [torch.zeros(channels, dtype=dtype) for _ in range(2)]
    mean_C, var_C = torch.ops.aten.batch_norm_update_stats(images, *unused_C, 0.0)
    row = torch.cat([mean_C, var_C * count, mean_C.new_tensor([count])])
    rows_R = [torch.empty_like(row) for _ in range(group.size)]
    dist.all_gather(rows_R, row, group=group.statistics)
    rows = torch.stack(rows_R).double()
    means_RC, squares_RC, counts_R1 = torch.split(rows, [channels, channels, 1], 1)
    total = float(counts_R1.sum())
    mean = (means_RC * counts_R1).sum(0) / total
    squares = (squares_RC + counts_R1 * (means_RC - mean) ** 2).sum(0)
    return mean.to(dtype), (squares / total).to(dtype), total
