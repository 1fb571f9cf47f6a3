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
"""Requests whose pictures are decoded, or lie decoded, at once; the network is one thread."""


class ClassProbability(BaseModel):
    class_name: str
    probability: float = Field(ge=0, le=1)


class PictureAnswer(BaseModel):
    """The answer for one image."""

    filename: str
    class_name: str
    class_index: int = Field(ge=0)
    confidence: float = Field(ge=0, le=1)
    probabilities: list[ClassProbability]
    """Of every class, likeliest first."""


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


class Problem(BaseModel):
    detail: str


REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The body is not multipart/form-data."},
    408: {"model": Problem, "description": "The body came too slowly."},
    413: {"model": Problem, "description": "Too many bytes, pixels or pictures."},
    415: {"model": Problem, "description": "A file that is no readable picture."},
    500: {"model": Problem, "description": "The model gave no numbers."},
    503: {"model": Problem, "description": "Too many requests at once."},
}


def build_app(
    predictor: Predictor, limits: Limits | None = None, hosts: Sequence[str] = ()
) -> FastAPI:
    """The application; it holds no state besides the model.

    Args:
        predictor: decodes in worker threads, as many at a time as there are cores, and computes in
            one.
        limits: what a request may cost.
        hosts: names that it answers under besides localhost and addresses.
    """
    limits = limits or Limits()
    app = FastAPIOffline(  # its /docs load nothing from elsewhere
        title="pochitrain",
        version=__version__,
        description="Classifies pictures with a trained model.",
        redoc_url=None,
        swagger_ui_parameters={"validatorUrl": None},
    )
    app.add_middleware(BodyLimit, limits=limits)
    app.add_middleware(AllowedHosts, names=hosts)
    # More threads than cores would only hold more decoded images in memory at once.
    decoders = min(os.cpu_count() or 1, MAX_DECODERS)
    threads = anyio.CapacityLimiter(decoders)
    # One more request is with the network; others wait with their files as they came.
    requests = anyio.CapacityLimiter(decoders + 1)
    gate = PixelGate(2 * limits.max_pixels)
    # Torch uses all cores for one call, and keeps a pool of threads for each thread that calls it.
    network = ThreadPoolExecutor(1, "network")

    @app.post("/predict", responses=REFUSALS, tags=["model"])
    async def predict(
        files: Annotated[list[UploadFile], File(description="One or more pictures.", min_length=1)],
    ) -> Answer:
        """Classify the images of a multipart form (field `files`)."""
        if len(files) > limits.max_files:
            raise HTTPException(413, f"At most {limits.max_files} pictures, got {len(files)}.")
        names = [file.filename or "picture" for file in files]
        contents = [file.file for file in files]  # large ones are on the disk until their turn
        prepare = partial(prepare_all, predictor, names, contents, limits.max_pixels, gate)
        async with requests:
            tensors = await anyio.to_thread.run_sync(prepare, limiter=threads)
            compute = partial(classify_all, predictor, tensors)
            found = await asyncio.get_running_loop().run_in_executor(network, compute)
        return describe_answer(names, found)

    @app.get("/health", tags=["service"])
    async def health() -> Health:
        """Whether the service can answer."""
        return Health(status="ok")

    @app.get("/model", tags=["service"])
    async def model() -> ModelFacts:
        """What answers here."""
        return describe_model(predictor)

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page() -> str:
        return resources.files("pochitrain.serve").joinpath("page.html").read_text("utf-8")

    return app


def describe_model(predictor: Predictor) -> ModelFacts:
    classifier = predictor.classifier
    return ModelFacts(
        source=classifier.source.name,
        backend=classifier.network.name,
        device=str(classifier.network.device),
        architecture=str(classifier.config["model"].get("name", "custom")),
        class_names=classifier.class_names,
    )


def prepare_all(
    predictor: Predictor,
    names: list[str],
    contents: Sequence[IO[bytes]],
    max_pixels: int,
    gate: PixelGate,
) -> list[Tensor]:
    """What the network sees of each image; one whole image is in memory at a time.

    Raises:
        HTTPException: 413 if one, or all together, have too many pixels; 415 if one cannot be read
            or not be treated as in training.
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
    """What the network sees of an image; its size is read from the header before it is decoded.

    Raises:
        InputTooLargeError: if it has too many pixels, or would get too many.
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
    try:
        return predictor.classify(tensors)
    except ConfigError as error:  # a size that the model does not take
        raise HTTPException(415, str(error)) from None
    except PochiError as error:
        raise HTTPException(500, str(error)) from None


def describe_answer(names: list[str], predictions: list[Prediction]) -> Answer:
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
            )
            for name, found in zip(names, predictions, strict=True)
        ]
    )
