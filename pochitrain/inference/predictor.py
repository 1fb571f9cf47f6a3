"""The Python API: `Predictor.load(run).predict(images)`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from pochitrain.data.decode import UnreadableImageError, decode_rgb, to_rgb
from pochitrain.error import ConfigError, DataError, PochiError
from pochitrain.inference.budget import MEGA, count_pixels
from pochitrain.inference.classifier import Classifier, load_classifier
from pochitrain.inference.decision import Decision, decide
from pochitrain.inference.explain import Explainer, find_class

Picture = str | Path | Image.Image | npt.NDArray[Any]
"""A path, a PIL image, or an array: uint8, shape (H, W), (H, W, 3) RGB or (H, W, 4) RGBA."""


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image."""

    class_name: str
    class_index: int
    confidence: float
    """Probability of that class, 0 to 1; calibrated if the model is."""
    probabilities: dict[str, float]
    """Probability of every class, 0 to 1, in the order of the classes."""
    accepted: bool = True
    """False: too uncertain for the wanted `max_error`, so the class is to be taken as unknown."""
    class_set: list[str] | None = None
    """The classes that are possible, likeliest first; None where no `coverage` is wanted."""

    def top(self, k: int) -> list[tuple[str, float]]:
        """The k likeliest classes with their probabilities, likeliest first."""
        ranked = sorted(self.probabilities.items(), key=lambda item: -item[1])
        return ranked[:k]


class Predictor:
    """A trained classifier that works in batches. Safe to share between threads.

    Example:
        >>> predictor = Predictor.load("outputs/20260101_003")
        >>> predictor.predict("cat.jpg").class_name
        'cat'
        >>> [p.class_name for p in predictor.predict(["a.jpg", Image.open("b.png")])]
        ['cat', 'dog']
    """

    def __init__(
        self,
        classifier: Classifier,
        batch_size: int = 32,
        max_pixels: int | None = None,
        decision: Decision | None = None,
    ) -> None:
        """Wrap a loaded classifier; usually called by `load`."""
        if batch_size < 1:
            raise ConfigError(f"batch_size must be >= 1, got {batch_size!r}.")
        self.classifier = classifier
        self.batch_size = batch_size
        self.budget = classifier.plan_budget(batch_size, max_pixels)
        self.decision = decision or Decision()
        self.explainer: Explainer | None = None
        self.lock = Lock()

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        device: str | None = None,
        batch_size: int = 32,
        allow: Sequence[str] = (),
        max_input_megapixels: float | None = None,
        max_error: float | None = None,
        coverage: float | None = None,
    ) -> "Predictor":
        """Load a run directory (its best model), a checkpoint or an exported ONNX file.

        Args:
            device: cuda, cuda:1, mps or cpu; None = as in training if available, else the first of
                cuda, mps, cpu.
            batch_size: images per forward pass, >= 1.
            allow: your own callables that its transforms or model name, such as `mypackage.*`.
            max_input_megapixels: limit for all images in a forward pass, after the transform;
                None = 4, or a batch of images of the model's input size if that is more.
            max_error: share of mistakes among the accepted answers, above 0 and below 1 (0.01 =
                1 %); less certain ones get `accepted=False`. Needs a calibrated model.
            coverage: share of the `class_set`s that hold the true class, 0.5 or more and below 1.
                Needs a calibrated model.

        Raises:
            ConfigError: no such file, a file that is damaged or not from pochitrain, a target that
                is not allowed, a batch size below 1, a pixel limit below one image of the model's
                input size, or an error or coverage that its calibration cannot promise.
        """
        if max_input_megapixels is not None and not max_input_megapixels > 0:
            raise ConfigError(f"max_input_megapixels must be > 0, got {max_input_megapixels!r}.")
        max_pixels = (
            None if max_input_megapixels is None else max(1, int(max_input_megapixels * MEGA))
        )
        classifier = load_classifier(path, device, allow)
        decision = decide(classifier.calibration, classifier.source, max_error, coverage)
        return cls(classifier, batch_size, max_pixels, decision)

    @property
    def class_names(self) -> list[str]:
        return list(self.classifier.class_names)

    @overload
    def predict(self, pictures: Picture) -> Prediction: ...  # type: ignore[overload-overlap]
    @overload
    def predict(self, pictures: Iterable[Picture]) -> list[Prediction]: ...
    def predict(self, pictures: Picture | Iterable[Picture]) -> Prediction | list[Prediction]:
        """Classify one image, or several.

        Args:
            pictures: one image (see `Picture`), or an iterable of images.

        Returns:
            A `Prediction` for one image, a list of them, in order, for several.

        Raises:
            DataError: for an image that cannot be read or has too many pixels.
            PochiError: if the network returns numbers that are not finite.
            TypeError: for a value that is not a `Picture`.
        """
        if isinstance(pictures, (str, Path, Image.Image, np.ndarray)):
            return self.classify([self.prepare(pictures)])[0]
        return self.classify(map(self.prepare, pictures))

    def explain(self, picture: Picture, class_name: str | None = None) -> npt.NDArray[np.float32]:
        """Where in an image the reason for a class was found (see `inference.explain`).

        Args:
            picture: one image (see `Picture`).
            class_name: the class; None = the predicted one.

        Returns:
            From 0 (says nothing) to 1 (says most), float32, shape (H, W): a value for each pixel of
            the image as it is decoded (EXIF orientation applied). 0 where a crop has cut it off,
            and everywhere if nothing speaks for the class.

        Raises:
            ConfigError: for an ONNX file, a network without a feature map, an unknown class, or
                without the extra `explain`.
            DataError: for an image that cannot be read or has too many pixels, or a transform that
                does more than resize, crop, flip and pad.
            TypeError: for a value that is not a `Picture`.
        """
        with self.lock:
            self.explainer = self.explainer or Explainer(self.classifier)
        names = self.class_names
        chosen = None if class_name is None else find_class(class_name, names, "class_name")
        image = self.open(picture)
        try:
            found = self.explainer.explain(image, self.budget, chosen)
        except UnreadableImageError as error:
            raise DataError(f"Cannot explain a picture: {error}.") from error
        return self.explainer.in_picture(found, image.size)

    def prepare(self, picture: Picture) -> Tensor:
        """Open and transform an image: float32, shape (3, H, W).

        Raises:
            DataError: as `predict`.
            TypeError: as `predict`.
        """
        image = self.open(picture)
        try:
            return self.classifier.prepare(image, self.budget)
        except UnreadableImageError as error:
            raise DataError(f"Cannot classify a picture: {error}.") from error

    def classify(self, tensors: Iterable[Tensor]) -> list[Prediction]:
        """The predictions for prepared images (see `prepare`), in their order."""
        found = []  # a generator of tensors keeps only one batch of them in memory
        for batch in self.budget.batches(tensors, self.batch_size, count_pixels):
            found += self.answer(batch)
        return found

    def answer(self, tensors: list[Tensor]) -> list[Prediction]:
        """The predictions for one batch; images of different sizes go through one by one.

        Raises:
            PochiError: if the network returns numbers that are not finite.
        """
        one_size = len({tuple(tensor.shape) for tensor in tensors}) == 1
        groups = [tensors] if one_size else [[tensor] for tensor in tensors]
        found = []
        for group in groups:
            logits = self.classifier.network(torch.stack(group))
            if not torch.isfinite(logits).all():
                raise PochiError(
                    f"{self.classifier.source} returns numbers that are not finite: its "
                    "weights are broken. Train again, or use an earlier checkpoint."
                )
            for row in self.classifier.probabilities(logits).tolist():
                found.append(self.describe(row))
        return found

    def open(self, picture: Picture) -> Image.Image:
        """Open an image as RGB, as in training.

        Raises:
            DataError: if it cannot be read.
            TypeError: if it is not a `Picture`.
        """
        background = self.classifier.background
        if not isinstance(picture, (str, Path, Image.Image)):
            picture = array_to_image(picture)
        try:
            if isinstance(picture, Image.Image):
                return to_rgb(picture.copy(), background)
            return decode_rgb(picture, background)
        except Exception as error:  # PIL reads lazily and raises many error types
            name = picture if isinstance(picture, (str, Path)) else "a PIL picture or array"
            raise DataError(f"Cannot read {name}: {error}.") from error

    def describe(self, probabilities: list[float]) -> Prediction:
        """The prediction with these probabilities, one per class."""
        names = self.classifier.class_names
        best = max(range(len(names)), key=probabilities.__getitem__)
        table = dict(zip(names, probabilities, strict=True))
        accepted = self.decision.accepts(probabilities[best])
        inside = self.decision.class_set(probabilities)
        possible = None if inside is None else [names[index] for index in inside]
        return Prediction(names[best], best, probabilities[best], table, accepted, possible)


def array_to_image(pixels: Any) -> Image.Image:
    """Convert an array to a PIL image.

    Raises:
        TypeError: if it is not a uint8 array of shape (H, W), (H, W, 3) or (H, W, 4).
    """
    ok = isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.size > 0
    if not ok or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))):
        seen = type(pixels).__name__
        if isinstance(pixels, np.ndarray):
            seen = f"{pixels.dtype} array of shape {pixels.shape}"
        raise TypeError(
            "a picture must be a path, a PIL picture, or an array of uint8 (0-255) with shape "
            f"(H, W), (H, W, 3) or (H, W, 4), got {seen}"
        )
    return Image.fromarray(np.ascontiguousarray(pixels))
