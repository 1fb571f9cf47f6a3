"""Chooses rate and weight decay of the last layer, from training images only."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pochitrain.data.split_group import deal_groups
from pochitrain.engine.evaluate import loss_sums, rank_of_truth
from pochitrain.engine.state import Monitor
from pochitrain.metric.metric import Evaluation, Metric, compute_metrics, wanted_top_k
from pochitrain.metric.table import AVERAGED, find_metric
from pochitrain.seed import derive_seed
from pochitrain.strategy.head_fit import HeadTraining, Rates, fit_heads
from pochitrain.strategy.thread import one_thread

NUM_FOLDS = 3
MAX_IMAGES = 6000
"""Of larger sets as many are used, with the same shares of the classes."""
EVALUATED = 1024
"""Images whose scores are computed at once."""


@one_thread()
def choose_rates(
    training: HeadTraining,
    lrs: Sequence[float],
    decays: Sequence[float],
    monitor: Monitor,
    metrics: Sequence[Metric],
    num_classes: int,
) -> Rates:
    """The pair that is best on parts of the training images that it was not trained on.

    First the rate, with the first of `decays`; then, with that rate, the weight decay.

    Args:
        monitor: what the run compares epochs by; where that cannot be computed from predictions,
            the loss decides.
    """
    rows, fold_of = assign_folds(training.labels.numpy(), training.seed, training.groups)
    parts = [torch.from_numpy(rows[fold_of == fold]) for fold in range(NUM_FOLDS)]
    held_out = [part for part in parts if len(part)]
    if len(held_out) < 2:  # a single image
        return Rates(lrs[0], decays[0])
    folds = [torch.from_numpy(np.setdiff1d(rows, part.numpy())) for part in held_out]
    judge = Judge(training, folds, held_out, monitor, metrics, num_classes)
    best = judge.best([Rates(lr, decays[0]) for lr in lrs])
    return judge.best([Rates(best.lr, decay) for decay in decays])


class Judge:
    """Compares pairs by what their last layers predict for images they were not trained on."""

    def __init__(
        self,
        training: HeadTraining,
        folds: Sequence[Tensor],
        held_out: Sequence[Tensor],
        monitor: Monitor,
        metrics: Sequence[Metric],
        num_classes: int,
    ) -> None:
        self.training = training
        self.folds = folds
        self.held_out = held_out
        self.num_classes = num_classes
        name = monitor.metric.removeprefix(AVERAGED)
        own = next((metric for metric in metrics if metric.name == name), find_metric(name))
        known = own is not None and own.compute is not None
        self.metric = own if known and own is not None else find_metric("val_loss")
        self.higher_is_better = monitor.higher_is_better if known else False
        self.scored: dict[Rates, tuple[float, float]] = {}

    def best(self, pairs: Sequence[Rates]) -> Rates:
        """The best pair; of equal ones that with the lower loss, then the first."""
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self.scored]
        if new:
            for pair, result in zip(new, self.evaluate(new), strict=True):
                self.scored[pair] = self.score(result)
        return max(pairs, key=lambda pair: self.scored[pair])

    def score(self, result: Evaluation) -> tuple[float, float]:
        """(value, -loss): larger is better; a value that is no number is the worst."""
        assert self.metric is not None
        value = compute_metrics([self.metric], result)[self.metric.name]
        value = value if self.higher_is_better else -value
        return nan_is_worst(value), nan_is_worst(-result.loss)

    def evaluate(self, pairs: Sequence[Rates]) -> list[Evaluation]:
        """What the last layers of each pair predict, all folds together."""
        assert self.metric is not None
        heads = fit_heads(self.training, self.folds, pairs)
        top_k = wanted_top_k([self.metric])
        tables = [Tally(self.num_classes, top_k) for _ in pairs]
        with torch.inference_mode():
            for fold, rows in enumerate(self.held_out):
                for chunk in torch.split(rows, EVALUATED):
                    device = self.training.device
                    view = self.training.views[0]
                    features = view.index_select(0, chunk.to(view.device)).to(device)
                    labels = self.training.labels[chunk].to(device)
                    weight = heads.weight[:, fold].transpose(1, 2)
                    scores = features @ weight + heads.bias[:, fold, None]
                    for table, own in zip(tables, scores, strict=True):
                        total, weights = loss_sums(self.training.criterion, own, labels)
                        table.add(own, labels, total, weights)
        return [table.result() for table in tables]


def nan_is_worst(value: float) -> float:
    return float("-inf") if value != value else value


class Tally:
    """Totals of predictions."""

    def __init__(self, num_classes: int, top_k: Collection[int]) -> None:
        self.confusion: NDArray[np.int64] = np.zeros((num_classes, num_classes), np.int64)
        self.loss = self.weight = 0.0
        self.hits: Mapping[int, int] = dict.fromkeys(top_k, 0)

    def add(self, scores: Tensor, labels: Tensor, loss: Tensor, weight: Tensor) -> None:
        predicted = scores.argmax(dim=1).cpu().numpy()
        np.add.at(self.confusion, (labels.cpu().numpy(), predicted), 1)
        self.loss += float(loss)
        self.weight += float(weight)
        if self.hits:
            rank = rank_of_truth(scores, labels)
            self.hits = {k: hits + int((rank < k).sum()) for k, hits in self.hits.items()}

    def result(self) -> Evaluation:
        return Evaluation(self.loss / self.weight, self.confusion, self.hits)


def assign_folds(
    labels: NDArray[np.int64], seed: int, groups: Sequence[str] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(images that are used, their folds), each class spread evenly over the folds.

    Args:
        groups: of each image; a group is in one fold, and classes are spread as that allows.
    """
    generator = np.random.default_rng(derive_seed(seed, "cross-validation"))
    share = min(1.0, MAX_IMAGES / len(labels))
    rows, folds, dealt = [], [], 0
    for label in np.unique(labels):
        own = generator.permutation(np.flatnonzero(labels == label))
        own = own[: max(1, round(share * len(own)))]
        rows.append(own)
        # Go on where the class before ended, or small classes would all be in the first folds.
        folds.append((dealt + np.arange(len(own))) % NUM_FOLDS)
        dealt += len(own)
    used = np.concatenate(rows)
    order = np.argsort(used, kind="stable")
    used, fold_of = used[order], np.concatenate(folds)[order]
    if groups is not None:
        numbers = np.unique(np.asarray(groups)[used], return_inverse=True)[1]
        fold_of = numbers % NUM_FOLDS
        if min(numbers.max() + 1, np.bincount(labels[used]).max()) >= NUM_FOLDS:
            dealt_groups = deal_groups(
                labels[used], numbers, NUM_FOLDS, derive_seed(seed, "cross-validation")
            )
            for fold, held_out in enumerate(dealt_groups):
                fold_of[held_out] = fold
    return used, fold_of
