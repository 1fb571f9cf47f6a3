"""Heatmaps over pictures, for pages of mistakes."""

from collections.abc import Iterable, Iterator
from contextlib import suppress

from PIL import Image

from pochitrain.data.decode import UnreadableImageError
from pochitrain.error import DataError
from pochitrain.inference.classifier import Classifier
from pochitrain.inference.explain import Explainer


def overlays(classifier: Classifier, pictures: Iterable[Image.Image]) -> Iterator[Image.Image]:
    """Each picture as the network gets it, with the heatmap of its predicted class over it.

    A picture that the transform cannot take, or with which the network gives no finite numbers,
    comes back as it is.

    Args:
        pictures: RGB; one at a time is held.

    Raises:
        ConfigError: for an ONNX file, a network without a feature map, or without the extra
            `explain`.
    """
    from pochitrain.report.heatmap import overlay  # loads matplotlib

    explainer = Explainer(classifier)
    budget = classifier.plan_budget(1)
    for picture in pictures:
        shown = picture
        with suppress(UnreadableImageError, DataError):
            found = explainer.explain(picture, budget)
            shown = overlay(explainer.view(found, picture.size), found.heatmap)
        yield shown
