"""Where in an image a network has found the reason for a class.

Three methods of Captum, by the kind of network (`feature_map.py`):

- feature maps (ResNet, EfficientNet, ConvNeXt, VGG, ...): Grad-CAM (Selvaraju et al. 2017,
  `LayerGradCam`) of the last map that is fine enough; what speaks against the class is left out;
- maps with the channels last (Swin): gradient times activation (`LayerGradientXActivation`), which
  is the same where the map is averaged and goes into one linear layer;
- tokens (ViT, MLP-Mixer): integrated gradients (Sundararajan et al. 2017,
  `LayerIntegratedGradients`) of the patches as they are embedded, from plain grey on. Grad-CAM
  does not find the place there: attention has moved what a patch said to other tokens.
"""

import copy
import threading
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from pochitrain.config.model import require_package
from pochitrain.error import ConfigError, DataError
from pochitrain.inference.budget import PixelBudget
from pochitrain.inference.classifier import Classifier
from pochitrain.inference.feature_map import FeatureMap, find_feature_map
from pochitrain.inference.network import TorchNetwork
from pochitrain.inference.placement import locate, view
from pochitrain.seed import seeded_cpu
from pochitrain.text import did_you_mean

SEED = 0
"""Of steps of the transform that draw."""

GREY = (128, 128, 128)
NUM_STEPS = 16
"""Of integrated gradients."""
IMAGES_AT_ONCE = 4

Heatmap = NDArray[np.float32]
"""From 0 (says nothing) to 1 (says most), shape (H, W)."""


@dataclass
class Explanation:
    """Why a network says a class of an image."""

    prepared: Tensor
    """What the network gets, float32, shape (3, H, W)."""
    heatmap: Heatmap
    """Over the pixels that the network gets; all 0 where nothing speaks for the class."""
    class_index: int
    """The class that it is about."""
    predicted: int
    confidence: float
    """Probability of the predicted class, 0 to 1; calibrated if the model is."""
    layer: str
    """Dotted path of the layer that was looked at."""


class Explainer:
    """Makes heatmaps of one classifier. Safe to share between threads."""

    def __init__(self, classifier: Classifier) -> None:
        """Copy the network, so that what watches its layers does not disturb other threads.

        Raises:
            ConfigError: for an ONNX file, which has no gradients, or without Captum.
        """
        require_explainable(classifier)
        network = classifier.network
        assert isinstance(network, TorchNetwork)
        self.classifier = classifier
        self.device = network.device
        self.model = copy.deepcopy(network.model).float().eval().requires_grad_(False)
        self.maps: dict[torch.Size, FeatureMap] = {}
        self.lock = threading.Lock()

    def explain(
        self, picture: Image.Image, budget: PixelBudget, class_index: int | None = None
    ) -> Explanation:
        """Why the network says a class of a picture.

        Args:
            picture: RGB.
            budget: see `Classifier.plan_budget`.
            class_index: the class; None = the predicted one.

        Raises:
            ConfigError: if the network has no feature map.
            UnreadableImageError: if the transform fails on the picture, or it is too large.
            DataError: if the network returns numbers that are not finite.
        """
        with seeded_cpu(SEED, "augment", 0, 0):  # as `placement` does
            prepared = self.classifier.prepare(picture, budget)
        logits = self.classifier.network(prepared[None])
        if not torch.isfinite(logits).all():
            raise DataError(f"{self.classifier.source} returns numbers that are not finite.")
        chances = self.classifier.probabilities(logits)[0]
        predicted = int(chances.argmax())
        chosen = predicted if class_index is None else class_index
        with seeded_cpu(SEED, "augment", 0, 0):
            grey = self.classifier.prepare(Image.new("RGB", picture.size, GREY), budget)
        heatmap, layer = self.attribute(prepared, grey, chosen)
        return Explanation(prepared, heatmap, chosen, predicted, float(chances[predicted]), layer)

    def attribute(self, prepared: Tensor, grey: Tensor, class_index: int) -> tuple[Heatmap, str]:
        """The heatmap of a prepared image for a class, and the layer that it is from.

        Args:
            grey: a grey picture, prepared likewise.
        """
        batch = prepared[None].to(self.device).float()
        with self.lock, torch.enable_grad():
            found = self.maps.get(batch.shape)
            if found is None:
                found = self.maps[batch.shape] = find_feature_map(self.model, batch)
            plain = grey[None].to(batch)
            values = attribute(
                self.model, found, batch.detach().requires_grad_(), plain, class_index
            )
        cells = found.to_grid(values.detach()).clamp(min=0)[None]
        size = tuple(prepared.shape[1:])
        large = F.interpolate(cells, size, mode="bilinear", align_corners=False)[0, 0]
        return to_unit(large.cpu().numpy()), found.name

    def view(self, explanation: Explanation, size: tuple[int, int]) -> Image.Image:
        """What the network has got of a picture of `size` (width, height), RGB."""
        return view(self.classifier.pipeline, explanation.prepared, size, SEED)

    def in_picture(self, explanation: Explanation, size: tuple[int, int]) -> Heatmap:
        """The heatmap over the pixels of the picture itself, shape (height, width).

        Raises:
            DataError: if the transform does more than resize, crop, flip and pad.
        """
        place = locate(self.classifier.pipeline, size, SEED)
        return to_unit(place.to_picture(explanation.heatmap, size))


def to_unit(heatmap: Heatmap) -> Heatmap:
    """The heatmap with a largest value of 1, if anything is above 0."""
    largest = heatmap.max()
    return heatmap / largest if largest > 0 else heatmap


def attribute(
    model: nn.Module, found: FeatureMap, images: Tensor, plain: Tensor, class_index: int
) -> Tensor:
    """What each cell contributes to the score of a class.

    Args:
        plain: images without content, of the same shape.

    Returns:
        Of the shape of the layer's output or, summed over the channels already, (B, 1, h, w).
    """
    from captum.attr import LayerGradCam, LayerGradientXActivation, LayerIntegratedGradients

    values: Tensor
    if found.is_start:
        method = LayerIntegratedGradients(model, found.layer)
        values = method.attribute(
            images,
            plain,
            target=class_index,
            n_steps=NUM_STEPS,
            internal_batch_size=IMAGES_AT_ONCE,
        )
    elif found.kind == "channels_first":
        values = LayerGradCam(model, found.layer).attribute(images, target=class_index)
    else:
        values = LayerGradientXActivation(model, found.layer).attribute(images, target=class_index)
    return values


def require_explainable(classifier: Classifier) -> None:
    """Refuse, before any work, what cannot be explained.

    Raises:
        ConfigError: for an ONNX file, or without Captum.
    """
    if not isinstance(classifier.network, TorchNetwork):
        raise ConfigError(
            f"RUN must be a run directory or checkpoint (.pth), got {str(classifier.source)!r}: an "
            "exported model has no gradients, from which heatmaps are made. Use the checkpoint."
        )
    require_package("captum", "explain", "A heatmap")


def find_class(name: str, class_names: list[str], key: str) -> int:
    """The index of a class.

    Args:
        key: what gave the name, for the message.

    Raises:
        ConfigError: if there is no such class.
    """
    if name in class_names:
        return class_names.index(name)
    hint = did_you_mean(name, class_names)
    shown = ", ".join(class_names[:20]) + (", ..." if len(class_names) > 20 else "")
    raise ConfigError(f"{key} must be a class of the model ({shown}), got {name!r}.{hint}")
