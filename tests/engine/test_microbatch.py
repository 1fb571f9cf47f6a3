"""However a batch is divided, its gradient and its metrics are those of the whole batch."""

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pochitrain.data.loader import Batch
from pochitrain.engine.device import select_precision
from pochitrain.engine.fault import FaultPolicy, FiniteLossCheck
from pochitrain.engine.microbatch import GradientAccumulator, split_batch
from pochitrain.engine.state import Monitor, RunningMetrics, TrainState
from pochitrain.error import PochiError
from pochitrain.loss.cross_entropy import CrossEntropy

CPU = torch.device("cpu")


class Room(nn.Module):
    """A linear model with memory for `room` images."""

    def __init__(self, room: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(12, 3)
        self.room = room

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.linear(images.flatten(1))


class Loader:
    """As much of an EpochLoader as the accumulator asks for."""

    def __init__(self, sizes: list[int], weights: Any = None) -> None:
        self.batches = self
        self.batch_size = sizes[0]
        self.sizes = sizes
        self.dataset = SimpleNamespace(sample_weights=weights)

    def __len__(self) -> int:
        return len(self.sizes)

    def bounds(self) -> list[tuple[int, int]]:
        ends = [sum(self.sizes[:i]) for i in range(len(self.sizes) + 1)]
        return list(pairwise(ends))


class Names:
    def name(self, index: int) -> str:
        return f"image {index}"


def make_batch(size: int, first: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(first)
    images = torch.randn(size, 3, 2, 2, generator=generator)
    return Batch(images, torch.arange(size) % 3, torch.arange(first, first + size))


def make_accumulator(
    sizes: list[int],
    *,
    room: int = 99,
    batches_per_step: int = 1,
    policy: str = "halve",
    weights: Any = None,
) -> GradientAccumulator:
    model = Room(room)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)
    precision = select_precision("fp32", CPU)
    monitor, sums = Monitor("val_accuracy"), RunningMetrics(CPU)
    state = TrainState(model, optimizer, scheduler, precision.scaler, monitor, 1, sums)
    return GradientAccumulator(
        state,
        Loader(sizes, weights),  # type: ignore[arg-type]
        CrossEntropy(torch.tensor([0.2, 1.0, 5.0]), label_smoothing=0.1),
        precision,
        FiniteLossCheck("stop", Names()),  # type: ignore[arg-type]
        FaultPolicy(out_of_memory=policy),  # type: ignore[arg-type]
        batches_per_step,
    )


def gradient(accumulator: GradientAccumulator) -> Tensor:
    grads = [parameter.grad for parameter in accumulator.state.model.parameters()]
    return torch.cat([grad.flatten() for grad in grads if grad is not None])


def add_all(accumulator: GradientAccumulator, batches: list[Batch]) -> None:
    """One step, begun again as often as memory is short."""
    while accumulator.state.batch < len(batches):
        if accumulator.add(batches[accumulator.state.batch]):
            accumulator.state.batch += 1
    accumulator.average()


@pytest.mark.parametrize(
    ("sizes", "room"), [([8], 8), ([8], 3), ([9], 4), ([8, 5], 8), ([8, 5], 3)]
)
def test_parts_are_the_whole(sizes: list[int], room: int) -> None:
    batches = [make_batch(size, first=10 * i) for i, size in enumerate(sizes)]
    divided = make_accumulator(sizes, room=room, batches_per_step=len(sizes))
    add_all(divided, batches)

    joined = Batch(*(torch.cat(column) for column in zip(*batches, strict=True)))
    whole = Room(99)
    criterion = nn.CrossEntropyLoss(torch.tensor([0.2, 1.0, 5.0]), label_smoothing=0.1)
    loss = criterion(whole(joined.images), joined.labels)
    torch.autograd.backward(loss)
    expected = torch.cat([p.grad.flatten() for p in whole.parameters() if p.grad is not None])
    torch.testing.assert_close(gradient(divided), expected)
    assert divided.state.num_microbatches == {8: 1, 4: 4, 3: 4}[room]
    assert divided.is_between_steps()
    mean, accuracy = divided.state.sums.result()
    assert mean == pytest.approx(loss.item(), rel=1e-6)
    right = (whole(joined.images).argmax(1) == joined.labels).double().mean().item()
    assert accuracy == pytest.approx(100 * right)


@pytest.mark.parametrize(
    ("sizes", "room"), [([8], 8), ([8], 3), ([9], 4), ([8, 5], 8), ([8, 5], 3)]
)
def test_weights_of_images_are_as_many_images(sizes: list[int], room: int) -> None:
    counts = torch.arange(20) % 3 + 1
    batches = [make_batch(size, first=10 * i) for i, size in enumerate(sizes)]
    weights = counts.numpy().astype("float32")
    divided = make_accumulator(sizes, room=room, batches_per_step=len(sizes), weights=weights)
    add_all(divided, batches)

    joined = Batch(*(torch.cat(column) for column in zip(*batches, strict=True)))
    repeats = counts[joined.indices]
    images, labels = (part.repeat_interleave(repeats, 0) for part in joined[:2])
    whole = Room(99)
    criterion = nn.CrossEntropyLoss(torch.tensor([0.2, 1.0, 5.0]), label_smoothing=0.1)
    loss = criterion(whole(images), labels)
    torch.autograd.backward(loss)
    expected = torch.cat([p.grad.flatten() for p in whole.parameters() if p.grad is not None])
    torch.testing.assert_close(gradient(divided), expected)
    mean, accuracy = divided.state.sums.result()
    assert mean == pytest.approx(loss.item(), rel=1e-6)
    right = (whole(joined.images).argmax(1) == joined.labels).double().mean().item()
    assert accuracy == pytest.approx(100 * right)  # of the images, whatever they weigh


def test_a_step_begins_again_where_memory_was_short() -> None:
    """In its second batch: what the first one added up is dropped, earlier steps stay."""
    accumulator = make_accumulator([4, 4, 4, 4], batches_per_step=2)
    batches = [make_batch(4, first=10 * i) for i in range(4)]
    for batch in batches[:3]:
        assert accumulator.add(batch)
        accumulator.state.batch += 1
    model = accumulator.state.model
    assert isinstance(model, Room)
    model.room = 2
    assert not accumulator.is_between_steps()
    assert not accumulator.add(batches[3])
    assert (accumulator.state.batch, accumulator.state.num_microbatches) == (2, 2)
    assert accumulator.state.sums.values[3] == 8, "samples of the first step"
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(("size", "policy"), [(8, "stop"), (3, "halve")])
def test_memory_that_is_short_all_the_same(size: int, policy: str) -> None:
    accumulator = make_accumulator([size], room=1, policy=policy)
    with pytest.raises(PochiError, match="batch_size must be small enough") as caught:
        accumulator.add(make_batch(size))
    assert isinstance(caught.value.__cause__, torch.OutOfMemoryError), "for HYDRA_FULL_ERROR=1"


def test_an_error_of_another_kind_is_not_taken_for_memory() -> None:
    accumulator = make_accumulator([4])
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        accumulator.add(Batch(torch.ones(4, 7), *make_batch(4)[1:]))


@pytest.mark.parametrize(
    ("size", "parts", "expected"),
    [(8, 1, [8]), (8, 4, [2, 2, 2, 2]), (9, 2, [5, 4]), (5, 4, [3, 2]), (1, 2, [1])],
)
def test_split_batch(size: int, parts: int, expected: list[int]) -> None:
    batch = make_batch(size)
    found = list(split_batch(batch, parts))
    assert [len(part.labels) for part in found] == expected
    for whole, columns in zip(batch, zip(*found, strict=True), strict=True):
        assert torch.equal(torch.cat(columns), whole)
