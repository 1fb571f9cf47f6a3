"""What a last layer that has not seen an image says about it, for every image."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pochitrain.engine.state import Monitor
from pochitrain.seed import derive_seed
from pochitrain.strategy.cross_validation import choose_rates, one_thread
from pochitrain.strategy.head_fit import HeadTraining, fit_heads

NUM_FOLDS = 5
EPOCHS = 20
BATCH_SIZE = 128
RATES, DECAYS = (1e-4, 3e-4, 1e-3, 3e-3), (0.01, 1.0, 10.0)
"""Learning rates and weight decays of AdamW that cross-validation tries; the loss decides, and so
how much the probabilities may be trusted."""


def predict_out_of_fold(
    features: Tensor, labels: NDArray[np.int64], num_classes: int, seed: int
) -> NDArray[np.float64]:
    """Class probabilities of every image, by a last layer fitted to the other folds.

    Args:
        features: float32, shape (N, D); each column is scaled to deviation 1 for this.
        labels: shape (N,), each < `num_classes`.
        seed: of the folds and the order of the images.

    Returns:
        Shape (N, num_classes); rows add up to 1.
    """
    scaled = (features - features.mean(0)) / (features.std(0, correction=0) + 1e-6)
    shape = (num_classes, features.shape[1])
    training = HeadTraining(
        [scaled],
        torch.from_numpy(labels),
        nn.CrossEntropyLoss(),
        build_optimizer,
        EPOCHS,
        BATCH_SIZE,
        seed,
        balanced=False,
        start=(torch.zeros(shape), torch.zeros(num_classes)),
        decay_bias=False,
    )
    rates = choose_rates(training, RATES, DECAYS, Monitor("val_loss"), [], num_classes)
    fold_of = deal_folds(labels, seed)
    all_rows = np.arange(len(labels))
    folds = [torch.from_numpy(all_rows[fold_of != fold]) for fold in range(NUM_FOLDS)]
    with one_thread():
        heads = fit_heads(training, folds, [rates])
    scores = np.empty((len(labels), num_classes))
    with torch.inference_mode():
        for fold in range(NUM_FOLDS):
            rows = all_rows[fold_of == fold]
            own = training.views[0][rows] @ heads.weight[0, fold].T + heads.bias[0, fold]
            scores[rows] = torch.softmax(own.double(), dim=1).numpy()
    return scores


def deal_folds(labels: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """The fold of each image, each class spread evenly: shape (N,)."""
    generator = np.random.default_rng(derive_seed(seed, "out-of-fold"))
    order = generator.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    folds = np.empty(len(labels), np.int64)
    folds[order] = np.arange(len(labels)) % NUM_FOLDS
    return folds


def build_optimizer(groups: list[dict[str, Any]]) -> tuple[Any, Any]:
    optimizer = torch.optim.AdamW(groups)
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
