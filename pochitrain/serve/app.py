"""The service: /predict, /health, /model, and a page at / to try it."""

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import resources
from typing import IO, Annotated, Any

import anyio
from fastapi import FastAPI, File, HTTPException, UploadFile
from fastapi.responses import HTMLResponse
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, Field
from torch import Tensor

from pochitrain import __version__
from pochitrain.data.decode import (
    TooManyPixelsError,
    UnreadableImageError,
    decode_rgb,
    open_image,
    reasons,
)
from pochitrain.error import ConfigError, PochiError
from pochitrain.inference.budget import MEGA, InputTooLargeError, count_pixels
from pochitrain.inference.predictor import Prediction, Predictor
from pochitrain.serve.host import AllowedHosts
from pochitrain.serve.limit import BodyLimit, Limits, PixelGate

MAX_DECODERS = 8
"""Largest number of requests whose images are decoded at the same time."""


class ClassProbability(BaseModel):
    class_name: str
    probability: float = Field(ge=0, le=1)


class PictureAnswer(BaseModel):
    """The prediction for one image."""

    filename: str
    class_name: str
    class_index: int = Field(ge=0)
    confidence: float = Field(ge=0, le=1)
    """Calibrated if the model is."""
    probabilities: list[ClassProbability]
    """Probability of every class, likeliest first."""
    accepted: bool | None = None
    """False: the class is to be taken as unknown. null: the service runs without --max-error."""
    class_set: list[str] | None = None
    """The possible classes, likeliest first. null: the service runs without --coverage."""


class Answer(BaseModel):
    predictions: list[PictureAnswer]


class Health(BaseModel):
    status: str


class ModelFacts(BaseModel):
    source: str
    backend: str
    device: str
    architecture: str
    class_names: list[str]
    temperature: float | None = None
    """What makes the confidence honest; null: the model is not calibrated."""
    max_error: float | None = None
    """Wanted share of mistakes among accepted answers; null: all are accepted."""
    threshold: float | None = None
    """Least confidence of an accepted answer."""
    coverage: float | None = None
    """Wanted share of sets with the true class; null: no sets."""


class Problem(BaseModel):
    detail: str


REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The body is not multipart/form-data."},
    408: {"model": Problem, "description": "The body came too slowly."},
    413: {"model": Problem, "description": "Too many bytes, pixels or pictures."},
    415: {"model": Problem, "description": "A file is not a readable picture."},
    500: {"model": Problem, "description": "The model returned numbers that are not finite."},
    503: {"model": Problem, "description": "Too many requests at once."},
}


def build_app(
    predictor: Predictor, limits: Limits | None = None, hosts: Sequence[str] = ()
) -> FastAPI:
    """The application. Its only state is the model.

    Args:
        predictor: images are decoded in several threads; the network runs in a single one.
        limits: limits on size and time of a request.
        hosts: host names that are accepted besides localhost and IP addresses.
    """
    limits = limits or Limits()
    app = FastAPIOffline(  # whose /docs work without internet access
        title="pochitrain",
        version=__version__,
        description="Classifies pictures with a trained model.",
        redoc_url=None,
        swagger_ui_parameters={"validatorUrl": None},
    )
    app.add_middleware(BodyLimit, limits=limits)
    app.add_middleware(AllowedHosts, names=hosts)
    # More threads than cores would only keep more decoded images in memory.
    decoders = min(os.cpu_count() or 1, MAX_DECODERS)
    threads = anyio.CapacityLimiter(decoders)
    # One more request may be in the network; the others wait with undecoded files.
    requests = anyio.CapacityLimiter(decoders + 1)
    gate = PixelGate(2 * limits.max_pixels)
    # One thread: a call uses all cores, and torch keeps a thread pool for each calling thread.
    network = ThreadPoolExecutor(1, "network")

    @app.post("/predict", responses=REFUSALS, tags=["model"])
    async def predict(
        files: Annotated[list[UploadFile], File(description="One or more pictures.", min_length=1)],
    ) -> Answer:
        """Classify the images of a multipart form (field `files`)."""
        if len(files) > limits.max_files:
            raise HTTPException(413, f"At most {limits.max_files} pictures, got {len(files)}.")
        names = [file.filename or "picture" for file in files]
        contents = [file.file for file in files]  # large files are on disk until they are decoded
        prepare = partial(prepare_all, predictor, names, contents, limits.max_pixels, gate)
        async with requests:
            tensors = await anyio.to_thread.run_sync(prepare, limiter=threads)
            compute = partial(classify_all, predictor, tensors)
            found = await asyncio.get_running_loop().run_in_executor(network, compute)
        return describe_answer(names, found, predictor.decision.max_error is not None)

    @app.get("/health", tags=["service"])
    async def health() -> Health:
        """Whether the service can answer."""
        return Health(status="ok")

    @app.get("/model", tags=["service"])
    async def model() -> ModelFacts:
        """Describe the model."""
        return describe_model(predictor)

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page() -> str:
        return resources.files("pochitrain.serve").joinpath("page.html").read_text("utf-8")

    return app


def describe_model(predictor: Predictor) -> ModelFacts:
    classifier, decision = predictor.classifier, predictor.decision
    known = classifier.calibration
    return ModelFacts(
        source=classifier.source.name,
        backend=classifier.network.name,
        device=str(classifier.network.device),
        architecture=str(classifier.config["model"].get("name", "custom")),
        class_names=classifier.class_names,
        temperature=None if known is None else known.temperature,
        max_error=decision.max_error,
        threshold=None if decision.max_error is None else decision.threshold,
        coverage=decision.coverage,
    )


def prepare_all(
    predictor: Predictor,
    names: list[str],
    contents: Sequence[IO[bytes]],
    max_pixels: int,
    gate: PixelGate,
) -> list[Tensor]:
    """Decode and transform the images, one at a time.

    Raises:
        HTTPException: 413 if one, or all together, have too many pixels; 415 if one cannot be read
            or transformed.
    """
    tensors: list[Tensor] = []
    left = predictor.budget.max_pixels
    for name, content in zip(names, contents, strict=True):
        try:
            tensors.append(prepare_one(predictor, content, max_pixels, gate))
        except (InputTooLargeError, TooManyPixelsError) as error:
            raise HTTPException(413, f"{name}: {error}.") from None
        except UnreadableImageError as error:
            raise HTTPException(415, f"{name}: {error}.") from None
        left -= count_pixels(tensors[-1])
        if left < 0:
            raise HTTPException(
                413,
                f"The pictures have more than {predictor.budget.max_pixels / MEGA:g} megapixels "
                "for the model together. Send fewer at a time.",
            )
    return tensors


def prepare_one(
    predictor: Predictor, content: IO[bytes], max_pixels: int, gate: PixelGate
) -> Tensor:
    """Decode and transform an image: float32, shape (3, H, W).

    Its size is checked before it is decoded.

    Raises:
        InputTooLargeError: if it has too many pixels, before or after the transform.
        UnreadableImageError: if it cannot be read, or the transform fails on it.
    """
    budget, classifier = predictor.budget, predictor.classifier
    with reasons():
        size = open_image(content).size
    budget.require_source(size)
    if budget.widest(size) > max_pixels:
        raise InputTooLargeError(f"{size[0]} x {size[1]} is more than {max_pixels:,} pixels")
    content.seek(0)
    with gate.hold(budget.widest(size)):
        return classifier.prepare(decode_rgb(content, classifier.background), budget)


def classify_all(predictor: Predictor, tensors: list[Tensor]) -> list[Prediction]:
    """The predictions for prepared images.

    Raises:
        HTTPException: 415 if the model does not accept their size; 500 if it fails.
    """
    try:
        return predictor.classify(tensors)
    except ConfigError as error:  # an image size that the model does not accept
        raise HTTPException(415, str(error)) from None
    except PochiError as error:
        raise HTTPException(500, str(error)) from None


def describe_answer(
    names: list[str], predictions: list[Prediction], rejects: bool = False
) -> Answer:
    """The response for `predictions` of the files `names`.

    Args:
        rejects: whether answers may be unknown.
    """
    return Answer(
        predictions=[
            PictureAnswer(
                filename=name,
                class_name=found.class_name,
                class_index=found.class_index,
                confidence=found.confidence,
                probabilities=[
                    ClassProbability(class_name=class_name, probability=probability)
                    for class_name, probability in found.top(len(found.probabilities))
                ],
                accepted=found.accepted if rejects else None,
                class_set=found.class_set,
            )
            for name, found in zip(names, predictions, strict=True)
        ]
    )
