"""The temperature that makes the confidence of a model honest. N images, C classes."""

import math

import torch
from torch import Tensor

from pochitrain.error import PochiError

LOWEST, HIGHEST = 0.05, 20.0
"""Range of a temperature."""
NUM_FOLDS = 5


def fit_temperature(logits_NC: Tensor, labels_N: Tensor) -> float:
    """The temperature T for which softmax(logits / T) has the lowest log loss (Guo et al. 2017).

    One number for all classes, so no prediction changes. Where every image is classified correctly,
    the loss falls for ever as T goes to 0. So the true class is not given the target 1 but, as by
    Platt (1999), one that N images can support: 1 - s, and s / C more to every class, with
    s = 1 / (N + 2).

    Args:
        logits_NC: finite, of images that the weights were not trained on.
        labels_N: the true classes, int64.

    Returns:
        From LOWEST to HIGHEST. Above 1 the model was too sure of itself, below 1 too modest.
    """
    from scipy.optimize import minimize_scalar

    logits = logits_NC.double()
    share = 1 / (len(logits) + 2)
    true_N = logits.gather(1, labels_N[:, None])[:, 0]
    target = float(((1 - share) * true_N + share * logits.mean(dim=1)).mean())

    def loss(log_temperature: float) -> float:
        inverse = math.exp(-log_temperature)
        return float(torch.logsumexp(logits * inverse, dim=1).mean()) - target * inverse

    # The loss is convex in 1 / T, so it has one minimum in log T too.
    bounds = (math.log(LOWEST), math.log(HIGHEST))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return min(max(math.exp(float(found.x)), LOWEST), HIGHEST)


def out_of_fold(logits_NC: Tensor, labels_N: Tensor, seed: int) -> tuple[Tensor, list[float]]:
    """Probabilities of all images, each with a temperature that was fitted without that image.

    Args:
        seed: decides which images are in which of the NUM_FOLDS folds.

    Returns:
        Float64, shape (N, C), rows sum to 1; and the temperature of each fold.

    Raises:
        PochiError: if a logit is not finite.
    """
    if not torch.isfinite(logits_NC).all():
        raise PochiError(
            "The model returns numbers that are not finite: its weights are broken. Train again, "
            "or use an earlier checkpoint."
        )
    generator = torch.Generator().manual_seed(seed)
    folds_N = torch.randperm(len(logits_NC), generator=generator) % NUM_FOLDS
    probabilities = torch.empty(logits_NC.shape, dtype=torch.float64)
    temperatures = []
    for fold in range(NUM_FOLDS):
        inside = folds_N == fold
        temperatures.append(fit_temperature(logits_NC[~inside], labels_N[~inside]))
        scaled = logits_NC[inside].double() / temperatures[-1]
        probabilities[inside] = torch.softmax(scaled, dim=1)
    return probabilities, temperatures


def log_loss(probabilities_NC: Tensor, labels_N: Tensor) -> float:
    """Mean of -log of the probability of the true class, in nats."""
    true_N = probabilities_NC.gather(1, labels_N[:, None])[:, 0]
    return float(-true_N.clamp_min(torch.finfo(torch.float64).tiny).log().mean())
