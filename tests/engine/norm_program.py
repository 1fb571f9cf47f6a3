"""Three processes check batch norm and the exchange of gradients against one that has it all.

    python norm_program.py

Exits with 0 if every process found what it should.
"""

import copy
import os
import socket
import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn

from pochitrain.engine.batch_norm import share_batch_norm, shared_statistics
from pochitrain.engine.gradient_exchange import GradientExchange
from pochitrain.engine.process_group import Peers
from pochitrain.ranks import Ranks

SIZE = 3
SHARES = (5, 1, 3)
"""Images of each process."""


class BatchNormAct(nn.BatchNorm2d):
    """As timm has it: an activation inside, and a forward of its own."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).relu()


def plain() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, momentum=0.3), nn.Conv2d(4, 2, 1))


def with_activation() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), BatchNormAct(4), BatchNormAct(4, affine=False))


def cumulative() -> nn.Module:
    """momentum=None averages over all batches; vectors instead of images."""
    return nn.Sequential(nn.Flatten(), nn.Linear(75, 6), nn.BatchNorm1d(6, momentum=None))


def channels_last() -> nn.Module:
    return plain().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def check(group: Peers, build: Callable[[], nn.Module], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    whole = build()
    shared = copy.deepcopy(whole)
    names = list(shared.state_dict())
    assert share_batch_norm(shared) > 0
    shared = copy.deepcopy(shared)  # as the averaged weights are
    exchange = GradientExchange(shared, group)
    start = sum(SHARES[: group.rank])
    own = slice(start, start + SHARES[group.rank])
    is_exact = dtype == torch.float32
    tolerance = {"rtol": 1e-5, "atol": 5e-6} if is_exact else {"rtol": 0.06, "atol": 0.06}
    for step in range(2):
        images = 3 + 2 * torch.randn(sum(SHARES), 3, 5, 5)
        whole_images = images.clone().requires_grad_()
        own_images = images[own].clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype != torch.float32):
            expected = whole(whole_images)
            with shared_statistics(group):
                found = shared(own_images)
        weights = torch.randn_like(expected.float())
        torch.autograd.backward((expected * weights).sum())
        if step == 1:
            exchange.arm(1.0)
        torch.autograd.backward((found * weights[own]).sum())
        total = exchange.finish(torch.tensor(1.0))
        assert total == SIZE
        torch.testing.assert_close(found, expected[own], **tolerance)
        scale = max(1.0, float(whole_images.grad.abs().max()))
        torch.testing.assert_close(
            own_images.grad / scale, whole_images.grad[own] / scale, **tolerance
        )
        for a, b in zip(whole.parameters(), shared.parameters(), strict=True):
            scale = max(1.0, float(a.grad.abs().max()))
            torch.testing.assert_close(
                b.grad / scale,
                a.grad / scale,
                **tolerance,
            )
            a.grad = b.grad = None
        for name, value in whole.state_dict().items():
            torch.testing.assert_close(
                shared.state_dict()[name],
                value,
                **tolerance,
            )
    assert list(shared.state_dict()) == names
    whole.eval(), shared.eval()  # nobody else takes part in an evaluation
    if group.is_first:
        torch.testing.assert_close(shared(images), whole(images), **tolerance)


def check_frozen(group: Peers) -> None:
    """Parameters that are frozen and thawed in mid-run, and one that is never used."""
    model = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 1), nn.Linear(2, 2)])
    exchange = GradientExchange(model, group)
    for trains in (False, True):
        model[0].requires_grad_(trains)
        exchange.arm(0.0)
        images = torch.full((1, 2), float(group.rank))
        torch.autograd.backward(model[1](model[0](images)).sum())
        exchange.finish(0.0)
        assert model[1].bias.grad.item() == SIZE
        assert (model[0].weight.grad is not None) == trains
        assert model[2].weight.grad is None
        assert exchange.num_without == 2
        for parameter in model.parameters():
            parameter.grad = None


def work(rank: int) -> None:
    group = Peers(Ranks(rank, SIZE, rank, SIZE, "test"))
    group.use(torch.device("cpu"))
    for build in (plain, with_activation, cumulative, channels_last):
        check(group, build, torch.float32)
    check(group, plain, torch.bfloat16)
    check_frozen(group)
    assert group.largest(rank, -rank) == [SIZE - 1, 0]
    assert group.from_first(lambda: [rank, torch.tensor(5)]) == [0, 5]
    assert group.gather(torch.tensor(rank)) == (list(range(SIZE)) if rank == 0 else [])
    assert group.lost() is None
    group.part_ways()


def main() -> None:
    torch.set_num_threads(1)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    children = []
    for rank in range(SIZE):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                work(rank)
                code = 0
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                sys.stderr.flush()
                os._exit(code)
        children.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    sys.exit(0 if codes == [0] * SIZE else f"exit codes {codes}")


if __name__ == "__main__":
    main()
