"""Adds up the gradients of several processes while the backward pass is still running.

torch's DistributedDataParallel does the same with means, for a wrapped model whose parameters must
not be frozen later. A sum needs no more than this: gradients go into a few flat buffers, in the
order in which they become known, and each buffer is on its way as soon as it is full.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from pochitrain.engine.process_group import Peers

BUFFER_BYTES = 8 * 2**20
"""Of the gradients that travel together: few messages, but the first of them early."""


class Buffer:
    """The gradients of some parameters, one after the other."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        first = parameters[0]
        sizes = [p.numel() for p in parameters]
        self.flat = torch.zeros(sum(sizes) + 1, dtype=first.dtype, device=first.device)
        """The gradients, and at the end room for one number more."""
        self.parameters = parameters
        *parts, self.number = torch.split(self.flat, [*sizes, 1])
        # In the memory order of the parameter, as autograd gives its gradient.
        self.views = [
            part.as_strided(p.shape, p.stride()) if is_dense(p) else part.view(p.shape)
            for part, p in zip(parts, parameters, strict=True)
        ]
        self.num_missing = len(parameters)
        self.work: Any = None


def is_dense(tensor: Tensor) -> bool:
    """Whether the strides of a tensor fill its memory without gaps."""
    return bool(torch.ops.aten.is_non_overlapping_and_dense(tensor))


class GradientExchange:
    """Sums `.grad` of the parameters of a model over all processes, once per optimizer step."""

    def __init__(self, model: nn.Module, group: Peers) -> None:
        self.model = model
        self.group = group
        self.trained: list[nn.Parameter] = []
        self.buffers: list[Buffer] = []
        self.place: dict[int, tuple[Buffer, int]] = {}
        """id of a parameter -> its buffer, and which view there."""
        self.hooks: list[Any] = []
        self.is_armed = False
        self.num_sent = 0
        self.num_without = 0
        """Number of parameters that got no gradient in the latest step."""

    def arm(self, number: Tensor | float) -> None:
        """The next backward pass is the last one of this step: send gradients as they come.

        Args:
            number: added up along with the gradients; a scalar.
        """
        self.prepare()
        self.buffers[-1].number.copy_(torch.as_tensor(number))
        self.is_armed = True

    def prepare(self) -> None:
        """Make the buffers, again where other parameters are trained than before."""
        trained = [p for p in self.model.parameters() if p.requires_grad]
        if len(trained) == len(self.trained) and all(map(same, trained, self.trained)):
            return
        for hook in self.hooks:
            hook.remove()
        self.trained, self.buffers, self.place, self.hooks = trained, [], {}, []
        for parameter in trained:
            watch: Any = parameter.register_post_accumulate_grad_hook  # torch has no types for it
            self.hooks.append(watch(self.receive))
        chosen: list[nn.Parameter] = []
        size = 0
        for parameter in reversed(trained):  # the last layers are the first to be known
            fits = chosen and chosen[0].dtype == parameter.dtype and size < BUFFER_BYTES
            if chosen and not fits:
                self.add_buffer(chosen)
                chosen, size = [], 0
            chosen.append(parameter)
            size += parameter.numel() * parameter.element_size()
        if chosen:
            self.add_buffer(chosen)

    def add_buffer(self, parameters: list[nn.Parameter]) -> None:
        buffer = Buffer(parameters)
        self.buffers.append(buffer)
        self.place |= {id(p): (buffer, i) for i, p in enumerate(parameters)}

    def receive(self, parameter: Tensor) -> None:
        """A gradient is complete in this process."""
        if not self.is_armed:
            return
        buffer, index = self.place[id(parameter)]
        put(buffer, index)
        buffer.num_missing -= 1
        while self.num_sent < len(self.buffers) and not self.buffers[self.num_sent].num_missing:
            self.send_next()  # in the same order everywhere

    def send_next(self) -> None:
        buffer = self.buffers[self.num_sent]
        buffer.work = dist.all_reduce(buffer.flat, group=self.group.data, async_op=True)
        self.num_sent += 1

    def finish(self, number: Tensor | float) -> Tensor:
        """Send what is left, and wait for all; `.grad` is then the sum.

        A parameter without a gradient here has none anywhere: all processes run the same layers.

        Args:
            number: as for `arm`.

        Returns:
            The sum of the numbers, a scalar.
        """
        if not self.is_armed:
            self.arm(number)
        for buffer in self.buffers[self.num_sent :]:
            for index in range(len(buffer.parameters)):
                put(buffer, index)
            self.send_next()
        for buffer in self.buffers:
            buffer.work.wait()
            buffer.work, buffer.num_missing = None, len(buffer.parameters)
        self.is_armed, self.num_sent = False, 0
        self.num_without = sum(p.grad is None for p in self.trained)
        total: Tensor = self.buffers[-1].number[0].clone()
        return total


def same(left: object, right: object) -> bool:
    return left is right


def put(buffer: Buffer, index: int) -> None:
    """Copy the gradient of a parameter into the buffer, and make it a view of that."""
    parameter, view = buffer.parameters[index], buffer.views[index]
    if parameter.grad is None:
        view.zero_()
    elif parameter.grad.data_ptr() != view.data_ptr():
        view.copy_(parameter.grad)
        parameter.grad = view
