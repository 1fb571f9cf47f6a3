"""The formula gives what autograd gives, bit for bit, and is used only where it holds."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pochitrain.data.dataset import require_splits
from pochitrain.data.digits import open_digits
from pochitrain.data.feature_loader import GATHERED, FeatureLoader, build_feature_loader
from pochitrain.data.loader import Batch, build_loader
from pochitrain.data.sampler import EpochBatches
from pochitrain.engine.device import select_precision
from pochitrain.engine.fault import FaultPolicy, FiniteLossCheck
from pochitrain.engine.microbatch import GradientAccumulator
from pochitrain.engine.state import Monitor, RunningMetrics, TrainState
from pochitrain.error import PochiError
from pochitrain.loss.cross_entropy import CrossEntropy
from pochitrain.model.head import split_head
from pochitrain.strategy.head_gradient import HeadGradient, choose_accumulator, has_formula
from pochitrain.strategy.head_model import HeadOnFeatures

CPU = torch.device("cpu")
NUM, COLUMNS, CLASSES = 45, 37, 5


class Model(nn.Module):
    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.fc = nn.Linear(COLUMNS, CLASSES, bias=bias)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.fc(images)
        return scores


def head(bias: bool = True) -> HeadOnFeatures:
    torch.manual_seed(3)
    return HeadOnFeatures(split_head(Model(bias)))


def features() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(NUM, COLUMNS, generator=generator)
    return rows, torch.randint(0, CLASSES, (NUM,), generator=generator)


class Loader:
    """As much of a loader as an accumulator looks at."""

    def __init__(self, batch_size: int, sample_weights: Any) -> None:
        self.batches = EpochBatches(features()[1].numpy(), batch_size, seed=0, shuffle=True)
        self.dataset = SimpleNamespace(sample_weights=sample_weights)

    def __len__(self) -> int:
        return len(self.batches)


def train(
    kind: type[GradientAccumulator],
    criterion: CrossEntropy,
    batch_size: int,
    bias: bool = True,
    sample_weights: Any = None,
) -> list[Tensor]:
    """Gradients, sums and parameters of an epoch."""
    model, precision = head(bias), select_precision("fp32", CPU)
    optimizer = torch.optim.AdamW(model.layer.parameters(), fused=True)
    scheduler: Any = None
    state = TrainState(
        model, optimizer, scheduler, precision.scaler, Monitor("val_loss"), 1, RunningMetrics(CPU)
    )
    names: Any = SimpleNamespace(name=str)
    check, loader = FiniteLossCheck("stop", names), Loader(batch_size, sample_weights)
    gradients = kind(state, loader, criterion, precision, check, FaultPolicy())  # type: ignore[arg-type]
    found: list[Tensor] = []
    rows, labels = features()
    for start, stop in loader.batches.bounds():
        part = slice(start, stop)
        assert gradients.add(Batch(rows[part], labels[part], torch.arange(start, stop)))
        found += [p.grad.clone() for p in model.layer.parameters() if p.grad is not None]
        optimizer.step()
        gradients.clear()
        assert all(p.grad is None for p in model.layer.parameters())
    return [*found, *model.layer.parameters(), state.sums.values]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("batch_size", [1, 16, 45])
def test_the_formula_is_autograd(batch_size: int, weighted: bool, bias: bool) -> None:
    weight = torch.tensor([0.5, 1.0, 2.0, 3.0, 0.1]) if weighted else None
    expected = train(GradientAccumulator, CrossEntropy(weight), batch_size, bias)
    found = train(HeadGradient, CrossEntropy(weight), batch_size, bias)
    assert len(found) == len(expected) > 2
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_weights_of_pictures_count() -> None:
    weights = torch.linspace(0.1, 3, NUM).numpy()
    expected = train(GradientAccumulator, CrossEntropy(), 16, sample_weights=weights)
    found = train(HeadGradient, CrossEntropy(), 16, sample_weights=weights)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert not torch.equal(found[0], train(HeadGradient, CrossEntropy(), 16)[0])


def test_a_loss_that_is_not_finite_stops_the_run() -> None:
    with pytest.raises(PochiError, match="The loss became nan in epoch 1, batch 1"):
        train(HeadGradient, CrossEntropy(torch.full((CLASSES,), float("nan"))), 16)


class OwnLoss(CrossEntropy):
    pass


def test_it_is_used_only_where_it_holds() -> None:
    assert has_formula(head(), CrossEntropy())
    assert not has_formula(head(), CrossEntropy(label_smoothing=0.1))
    assert not has_formula(head(), OwnLoss())
    assert not has_formula(Model(), CrossEntropy())
    hooked, watched = head(), head()
    hooked.layer.register_forward_hook(lambda *_: None)
    watched.layer.weight.register_hook(lambda gradient: gradient)
    assert not has_formula(hooked, CrossEntropy())
    assert not has_formula(watched, CrossEntropy())


@pytest.mark.parametrize(("precision", "formula"), [("fp32", True), ("bf16", False)])
def test_it_is_not_used_in_mixed_precision(precision: str, formula: bool) -> None:
    chosen = select_precision(precision, CPU)
    model = head()
    optimizer = torch.optim.SGD(model.layer.parameters())
    none: Any = None
    monitor, sums = Monitor("val_loss"), RunningMetrics(CPU)
    state = TrainState(model, optimizer, none, chosen.scaler, monitor, 1, sums)
    kind = choose_accumulator(state, CrossEntropy(), chosen)
    assert (kind is HeadGradient) == formula


@pytest.fixture(scope="module")
def loader() -> FeatureLoader:
    data = require_splits(open_digits(image_size=8, val_fraction=0.5, seed=0)).train
    images = build_loader(
        data,
        lambda image: torch.zeros(3, 8, 8),
        shuffle=False,
        batch_size=4,
        seed=0,
        device=CPU,
        channels_last=False,
        num_workers=0,
    )
    batches = EpochBatches(data.labels, 4, seed=0, shuffle=True)
    rows = torch.arange(2.0 * len(data)).reshape(-1, 2)
    return build_feature_loader(images, batches, [rows])


def test_batches_of_features_are_those_of_the_plan(loader: FeatureLoader) -> None:
    rows, labels = loader.views[0], loader.batches.labels
    found = list(loader.epoch(3))
    loader.batches.epoch = 3
    order = loader.batches.order()
    assert len(found) == len(loader) > 2 * GATHERED
    for (start, stop), batch in zip(loader.batches.bounds(), found, strict=True):
        assert torch.equal(batch.indices, order[start:stop])
        assert torch.equal(batch.images, rows[order[start:stop]])
        assert torch.equal(batch.labels, labels[order[start:stop]])


@pytest.mark.parametrize("first", [1, GATHERED - 1, GATHERED, GATHERED + 5])
def test_a_resumed_epoch_has_the_same_batches_at_the_same_places(
    loader: FeatureLoader, first: int
) -> None:
    whole, rest = list(loader.epoch(2)), list(loader.epoch(2, first))
    assert len(rest) == len(whole) - first
    for expected, batch in zip(whole[first:], rest, strict=True):
        assert torch.equal(batch.images, expected.images)
        # A product may depend on where its numbers lie.
        assert batch.images.storage_offset() == expected.images.storage_offset()
