"""Many last layers at once are the last layers that torch would train one by one."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pochitrain.data.sampler import EpochBatches
from pochitrain.engine.state import Monitor
from pochitrain.loss.cross_entropy import CrossEntropy
from pochitrain.seed import derive_seed
from pochitrain.strategy.cross_validation import NUM_FOLDS, assign_folds, choose_rates
from pochitrain.strategy.head_fit import HeadTraining, Rates, fit_heads

EPOCHS, BATCH = 3, 8


def make_training(labels: Tensor, features: Tensor, **changed: Any) -> HeadTraining:
    def build(groups: list[dict[str, Any]]) -> tuple[Any, Any]:
        optimizer = torch.optim.AdamW(groups)
        return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)

    generator = torch.Generator().manual_seed(5)
    start = torch.randn(3, 6, generator=generator), torch.randn(3, generator=generator)
    values: dict[str, Any] = {
        "views": [features],
        "labels": labels,
        "criterion": CrossEntropy(torch.tensor([1.0, 2.0, 0.5]), 0.1),
        "build": build,
        "epochs": EPOCHS,
        "batch_size": BATCH,
        "seed": 7,
        "balanced": False,
        "start": start,
        "decay_bias": True,
    }
    return HeadTraining(**{**values, **changed})


def one_by_one(training: HeadTraining, fold: Tensor, number: int, rates: Rates) -> nn.Linear:
    """The plain loop."""
    layer = nn.Linear(6, 3)
    with torch.no_grad():
        layer.weight.copy_(training.start[0])
        layer.bias.copy_(training.start[1])
    group = {"params": [*layer.parameters()], "lr": rates.lr, "weight_decay": rates.weight_decay}
    optimizer, scheduler = training.build([group])
    seed = derive_seed(training.seed, "fold", number)
    batches = EpochBatches(training.labels[fold].numpy(), BATCH, seed=seed, shuffle=True)
    for epoch in range(EPOCHS):
        batches.epoch = epoch
        order = fold[batches.order()]
        view = training.views[epoch % len(training.views)]
        for start, stop in batches.bounds():
            rows = order[start:stop]
            optimizer.zero_grad()
            loss = training.criterion(layer(view[rows]), training.labels[rows])
            torch.autograd.backward(loss)
            optimizer.step()
        scheduler.step()
    return layer


def test_equal_those_of_a_plain_loop() -> None:
    torch.manual_seed(0)
    labels = torch.randint(0, 3, (40,))
    views = [torch.randn(40, 6), torch.randn(40, 6)]
    training = make_training(labels, views[0], views=views)
    folds = [torch.arange(0, 30), torch.arange(10, 40)]
    pairs = [Rates(0.1, 0.5), Rates(0.01, 0.0)]
    heads = fit_heads(training, folds, pairs)
    for f, fold in enumerate(folds):
        for g, pair in enumerate(pairs):
            expected = one_by_one(training, fold, f, pair)
            torch.testing.assert_close(heads.weight[g, f].detach(), expected.weight.detach())
            torch.testing.assert_close(heads.bias[g, f].detach(), expected.bias.detach())


def test_weights_of_images_are_as_many_images() -> None:
    """In one batch, so that its images can be repeated."""
    torch.manual_seed(0)
    labels, features = torch.randint(0, 3, (20,)), torch.randn(20, 6)
    counts = torch.arange(20) % 3 + 1
    pairs = [Rates(0.1, 0.5), Rates(0.01, 0.0)]
    weighted = make_training(labels, features, batch_size=99, sample_weights=counts.float())
    found = fit_heads(weighted, [torch.arange(20)], pairs)
    rows = torch.arange(20).repeat_interleave(counts)
    repeated = make_training(labels[rows], features[rows], batch_size=99)
    expected = fit_heads(repeated, [torch.arange(len(rows))], pairs)
    torch.testing.assert_close(found.weight.detach(), expected.weight.detach())
    plain = fit_heads(make_training(labels, features, batch_size=99), [torch.arange(20)], pairs)
    assert not torch.allclose(found.weight, plain.weight, atol=1e-4)


def test_folds_have_each_image_once_and_every_class() -> None:
    labels = np.repeat([0, 1, 2], [10 * NUM_FOLDS, 4 * NUM_FOLDS, NUM_FOLDS - 1])
    rows, folds = assign_folds(labels, seed=3)
    assert rows.tolist() == list(range(len(labels)))
    table = [
        [int(((labels == c) & (folds == f)).sum()) for f in range(NUM_FOLDS)] for c in range(3)
    ]
    assert table[0] == [10] * NUM_FOLDS
    assert table[1] == [4] * NUM_FOLDS
    assert sorted(table[2]) == [0, *[1] * (NUM_FOLDS - 1)]
    assert np.array_equal(folds, assign_folds(labels, seed=3)[1])
    assert not np.array_equal(folds, assign_folds(labels, seed=4)[1])


@pytest.mark.parametrize(("num_images", "num_groups"), [(60, 15), (4, 2), (5, 4), (9, 1)])
def test_folds_do_not_divide_groups(num_images: int, num_groups: int) -> None:
    labels = np.arange(num_images, dtype=np.int64) % 3
    groups = [f"patient{i % num_groups}" for i in range(num_images)]
    rows, folds = assign_folds(labels, 3, groups)
    assert rows.tolist() == list(range(num_images))
    pairs = {*zip(groups, folds.tolist(), strict=True)}
    assert len(pairs) == num_groups
    assert {fold for _, fold in pairs} == {*range(min(num_groups, NUM_FOLDS))}
    if num_images == 60:
        shares = [np.bincount(labels[folds == fold], minlength=3) for fold in range(NUM_FOLDS)]
        assert np.min(shares) >= 4


def choose(training: HeadTraining, metric: str, lrs: list[float]) -> Rates:
    return choose_rates(training, lrs, [0.0, 100.0], Monitor(metric), [], 3)


def test_the_better_rate_wins() -> None:
    """Classes that a line divides: too small a rate learns nothing, decay forgets it again."""
    torch.manual_seed(1)
    labels = torch.arange(60) % 3
    features = torch.randn(60, 6) + 3 * nn.functional.one_hot(labels, 6)
    zeros = torch.zeros(3, 6), torch.zeros(3)
    training = make_training(labels, features, start=zeros, epochs=20)
    for metric in ("val_accuracy", "val_loss", "val_macro_f1", "train_loss"):
        assert choose(training, metric, [1e-6, 0.05]) == Rates(0.05, 0.0), metric


def test_a_single_image_cannot_be_held_out() -> None:
    training = make_training(torch.tensor([0]), torch.zeros(1, 6))
    found = choose_rates(training, [0.1, 0.2], [0.5], Monitor("val_loss"), [], 3)
    assert found == Rates(0.1, 0.5)
