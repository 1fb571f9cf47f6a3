"""What a classifier that has not seen an image says about it, for every image."""

import warnings

import numpy as np
from numpy.typing import NDArray

from pochitrain.data.progress import WaitDisplay
from pochitrain.seed import derive_seed

NUM_FOLDS = 5
MOST_COLUMNS = 256
"""Features are reduced to so many principal components, which keeps nearly all that differs."""
STRENGTHS = (1e-3, 1e-2, 1e-1)
"""Values of C, the inverse of the regularisation, that are tried. The loss on the images that were
held out decides, and so how much the probabilities may be trusted."""
MOST_STEPS = 100

Reals = NDArray[np.floating]


def predict_out_of_fold(
    features: Reals, labels: NDArray[np.int64], num_classes: int, seed: int
) -> NDArray[np.float64]:
    """Class probabilities of every image, by a logistic regression on the other folds.

    Args:
        features: shape (N, D).
        labels: shape (N,), each < `num_classes`; every class that occurs does so twice or more.
        seed: of the folds.

    Returns:
        Shape (N, num_classes); rows add up to 1.
    """
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    columns = reduce_columns(features)
    folds = deal_folds(labels, seed)
    least = np.inf
    steps = [(strength, fold) for strength in STRENGTHS for fold in range(NUM_FOLDS)]
    best = chances = np.zeros((len(labels), num_classes))
    with (
        warnings.catch_warnings(),
        threadpool_limits(1),  # the matrices are small: more threads would wait for each other
        WaitDisplay("Judging labels", len(steps)) as display,
    ):
        warnings.simplefilter("ignore", ConvergenceWarning)
        for strength, fold in steps:
            held_out = folds == fold
            if held_out.any():
                chances[held_out] = fit_and_predict(
                    columns[~held_out], labels[~held_out], columns[held_out], num_classes, strength
                )
            display.advance()
            if fold == NUM_FOLDS - 1:
                own = chances[np.arange(len(labels)), labels]
                loss = -float(np.log(np.maximum(own, 1e-12)).mean())
                if loss < least:
                    best, least = chances.copy(), loss
    return best


def reduce_columns(features: Reals) -> NDArray[np.float64]:
    """Principal components, shape (N, <= MOST_COLUMNS), of columns of deviation 1."""
    from sklearn.decomposition import PCA

    count = min(MOST_COLUMNS, *features.shape)
    centred = features - features.mean(axis=0)
    scaled = centred / (features.std(axis=0) + 1e-6)
    components = PCA(count, svd_solver="covariance_eigh").fit_transform(scaled.astype(np.float64))
    reduced: NDArray[np.float64] = components
    return reduced


def fit_and_predict(
    columns: Reals,
    labels: NDArray[np.int64],
    held_out: Reals,
    num_classes: int,
    strength: float,
) -> NDArray[np.float64]:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, max_iter=MOST_STEPS, tol=1e-2)
    model.fit(columns, labels)
    chances = np.zeros((len(held_out), num_classes))
    chances[:, model.classes_] = model.predict_proba(held_out)
    return chances


def deal_folds(labels: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """The fold of each image, each class spread evenly: shape (N,)."""
    generator = np.random.default_rng(derive_seed(seed, "out-of-fold"))
    order = generator.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    folds = np.empty(len(labels), np.int64)
    folds[order] = np.arange(len(labels)) % NUM_FOLDS
    return folds
