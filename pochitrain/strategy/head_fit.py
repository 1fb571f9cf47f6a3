"""Fits many last layers at once: on parts of the features, with several rates.

As in training: the same optimizer, scheduler, loss and batches, without what a run needs besides
(checkpoints, callbacks, mixed precision, gradient clipping).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pochitrain.data.sampler import EpochBatches
from pochitrain.engine.evaluate import loss_sums
from pochitrain.scheduler.warm_up import step_scheduler
from pochitrain.seed import derive_seed

# F folds (parts of the training data), G pairs of rate and weight decay, B images of a batch,
# D features, C classes.


@dataclass(frozen=True)
class Rates:
    """How a last layer is trained."""

    lr: float
    weight_decay: float


@dataclass
class HeadTraining:
    """What is the same for all last layers."""

    views: Sequence[Tensor]
    """Features of all images, float32, shape (N, D), on any device; epoch e uses view
    e % len(views)."""
    labels: Tensor
    """int64, shape (N,), on the CPU."""
    criterion: nn.Module
    build: Callable[[list[dict[str, Any]]], tuple[Any, Any]]
    """Parameter groups -> optimizer and scheduler."""
    epochs: int
    batch_size: int
    seed: int
    balanced: bool
    start: tuple[Tensor, Tensor]
    """Weight (C, D) and bias (C,) before the first step."""
    decay_bias: bool
    """Whether weight decay is for the bias too."""
    sample_weights: Tensor | None = None
    """How much each image counts, float32, shape (N,), on the CPU; None = all the same."""
    groups: Sequence[str] | None = None
    """Of each image; a cross-validation does not divide them."""

    @property
    def device(self) -> torch.device:
        """Where the last layers are trained; the loss must be there."""
        return self.start[0].device


@dataclass
class Heads:
    """Last layers for F folds and G pairs."""

    weight: Tensor
    """Shape (G, F, C, D)."""
    bias: Tensor
    """Shape (G, F, C)."""

    def scores(self, features_FBD: Tensor) -> Tensor:
        """Class scores, shape (F, G, B, C)."""
        pairs, folds, classes, _ = self.weight.shape
        joined = self.weight.transpose(0, 1).reshape(folds, pairs * classes, -1)
        flat = torch.bmm(features_FBD, joined.transpose(1, 2))
        split = flat.reshape(folds, -1, pairs, classes).transpose(1, 2)
        return split + self.bias.transpose(0, 1)[:, :, None]


def fit_heads(training: HeadTraining, folds: Sequence[Tensor], pairs: Sequence[Rates]) -> Heads:
    """Train a last layer for each of F folds with each of G pairs.

    Args:
        folds: images to train on, indices, each of shape (n,). Longer ones leave out as many images
            in each epoch as the shortest lacks.
    """
    heads = start_heads(training, len(folds), len(pairs))
    groups = parameter_groups(heads, pairs, training.decay_bias)
    optimizer, scheduler = training.build(groups)
    samplers = [fold_batches(training, fold, i) for i, fold in enumerate(folds)]
    shortest = min(range(len(folds)), key=lambda i: len(folds[i]))
    bounds = samplers[shortest].bounds()
    for epoch in range(training.epochs):
        features = training.views[epoch % len(training.views)]
        orders = torch.stack(
            [
                fold[order_of(sampler, epoch)[: bounds[-1][1]]]
                for fold, sampler in zip(folds, samplers, strict=True)
            ]
        )
        for start, stop in bounds:
            fit_batch(training, heads, features, orders[:, start:stop])
            optimizer.step()
        step_scheduler(scheduler, float("nan"))
    return heads


def start_heads(training: HeadTraining, num_folds: int, num_pairs: int) -> Heads:
    weight, bias = (part.detach().to(training.device) for part in training.start)
    shape = (num_pairs, num_folds)
    return Heads(
        weight.expand(*shape, *weight.shape).clone().requires_grad_(),
        bias.expand(*shape, *bias.shape).clone().requires_grad_(),
    )


def parameter_groups(
    heads: Heads, pairs: Sequence[Rates], decay_bias: bool
) -> list[dict[str, Any]]:
    """A group for the weights and one for the biases of each pair.

    Their tensors, and the gradients of these, are parts of the tensors of `heads`.
    """
    groups = []
    for whole in (heads.weight, heads.bias):
        whole.grad = torch.zeros_like(whole)
        decays = decay_bias or whole is heads.weight
        for i, pair in enumerate(pairs):
            part = whole.detach()[i].requires_grad_()
            part.grad = whole.grad[i]
            decay = pair.weight_decay if decays else 0.0
            groups.append({"params": [part], "lr": pair.lr, "weight_decay": decay})
    return groups


def fold_batches(training: HeadTraining, fold: Tensor, number: int) -> EpochBatches:
    return EpochBatches(
        training.labels[fold].numpy(),
        training.batch_size,
        seed=derive_seed(training.seed, "fold", number),
        shuffle=True,
        balanced=training.balanced,
    )


def order_of(batches: EpochBatches, epoch: int) -> Tensor:
    batches.epoch = epoch
    return batches.order()


def fit_batch(training: HeadTraining, heads: Heads, features: Tensor, rows_FB: Tensor) -> None:
    """Put the gradient of the mean loss of each last layer into `heads`."""
    device = heads.weight.device
    chosen = features.index_select(0, rows_FB.reshape(-1).to(features.device)).to(device)
    scores = heads.scores(chosen.reshape(*rows_FB.shape, -1))
    labels_FB = training.labels[rows_FB].to(device)
    num_pairs = scores.shape[1]
    losses = []
    for own, labels, rows in zip(scores, labels_FB, rows_FB, strict=True):
        # All pairs as one batch: each adds its own mean loss.
        flat = own.reshape(-1, own.shape[-1])
        weights = None
        if training.sample_weights is not None:
            weights = training.sample_weights[rows].to(device).repeat(num_pairs)
        total, weight = loss_sums(training.criterion, flat, labels.repeat(num_pairs), weights)
        losses.append(total / weight * num_pairs)
    wanted = (heads.weight, heads.bias)
    gradients = torch.autograd.grad(torch.stack(losses).sum(), wanted)
    for tensor, gradient in zip(wanted, gradients, strict=True):
        assert tensor.grad is not None
        tensor.grad.copy_(gradient)
