"""What a classifier that has not seen an image says about it, for every image."""

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pochitrain.data.progress import WaitDisplay
from pochitrain.seed import derive_seed

NUM_FOLDS = 5
MOST_COLUMNS = 256
"""Features are reduced to so many principal components, which keeps nearly all that differs."""
STRENGTHS = (1e-3, 1e-2, 1e-1)
"""Values of C, the inverse of the regularisation, that are tried, the strongest first. The loss on
the images that were held out decides, and so how much the probabilities may be trusted."""
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
    tried = []
    with (
        warnings.catch_warnings(),
        threadpool_limits(1),  # the matrices are small: more threads would wait for each other
        WaitDisplay("Judging labels", len(STRENGTHS) * NUM_FOLDS) as display,
    ):
        warnings.simplefilter("ignore", ConvergenceWarning)
        for strength in STRENGTHS:
            chances = np.zeros((len(labels), num_classes))
            for fold in np.unique(folds):
                held_out = folds == fold
                chances[held_out] = fit_and_predict(
                    columns[~held_out], labels[~held_out], columns[held_out], num_classes, strength
                )
                display.advance()
            tried.append(chances)
    return choose_calmest(tried, labels)


def choose_calmest(
    tried: Sequence[NDArray[np.float64]], labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The first of `tried` that is as good as the best: within one standard error of its loss.

    The first is the one with the strongest regularisation, which contradicts labels least (the rule
    of one standard error, Breiman et al. 1984).
    """
    losses = np.stack(
        [-np.log(np.maximum(each[np.arange(len(labels)), labels], 1e-12)) for each in tried]
    )
    means = losses.mean(axis=1)
    best = int(means.argmin())
    limit = means[best] + losses[best].std() / len(labels) ** 0.5
    return tried[int((means <= limit).argmax())]


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
