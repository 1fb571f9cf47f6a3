"""Where the images lie for a network: its features of them in two dimensions.

The features are what the last layer gets, a vector per image. Principal components show the two
directions in which the images differ most; nothing is bent, so that distances far apart mean
something too.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pochitrain.data.dataset import ImageDataset
from pochitrain.error import ConfigError
from pochitrain.inference.classifier import Classifier
from pochitrain.inference.network import TorchNetwork
from pochitrain.inference.stream import load_batches
from pochitrain.model.head import split_head


@dataclass
class Embedding:
    """N images on a plane."""

    indices: NDArray[np.int64]
    """Position of each in the dataset, shape (N,); unreadable images are missing."""
    coordinates: NDArray[np.float32]
    """Shape (N, 2); the mean is (0, 0)."""
    explained: tuple[float, float]
    """Share of the variance of the features that each of the two directions has, 0 to 1."""
    predicted: NDArray[np.int64]
    """Class of each, shape (N,)."""


def compute_embedding(
    classifier: Classifier,
    dataset: ImageDataset,
    batch_size: int = 32,
    num_workers: int | None = None,
) -> Embedding:
    """The images on the first two principal components of their features. One forward pass.

    Raises:
        ConfigError: for an ONNX file, a network that does not end in one Linear on a vector per
            image, or fewer than three readable images.
    """
    network = classifier.network
    if not isinstance(network, TorchNetwork):
        raise ConfigError(
            f"RUN must be a run directory or checkpoint (.pth), got {str(classifier.source)!r}: an "
            "exported model does not show the input of its last layer. Use the checkpoint."
        )
    split = split_head(network.model)
    budget = classifier.plan_budget(batch_size)
    positions: list[int] = []
    features, predicted = [], []
    with torch.inference_mode():
        for stacks, _ in load_batches(classifier, dataset, batch_size, num_workers, budget):
            for indices, images in stacks:
                moved = images.to(network.device, memory_format=network.memory_format)
                found = split.features(moved)
                features.append(found.float().cpu())
                predicted.append(split.layer(found).argmax(dim=1).cpu())
                positions += indices
    if len(positions) < 3:
        raise ConfigError(f"A map needs at least 3 readable pictures, got {len(positions)}.")
    order = np.argsort(positions)
    coordinates, explained = project(torch.cat(features).numpy()[order])
    said = torch.cat(predicted).numpy()[order]
    return Embedding(np.asarray(positions, np.int64)[order], coordinates, explained, said)


def project(
    features_ND: NDArray[np.float32],
) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """The first two principal components, shape (N, 2), and their shares of the variance."""
    from sklearn.decomposition import PCA

    found = PCA(n_components=2, random_state=0)
    with np.errstate(invalid="ignore"):  # all images alike
        coordinates = found.fit_transform(features_ND.astype(np.float64)).astype(np.float32)
    first, second = np.nan_to_num(found.explained_variance_ratio_)
    return coordinates, (float(first), float(second))
