"""A service whose answer is known: the class is the brightest of red, green and blue."""

import io
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from pochitrain.inference.calibration import Calibration
from pochitrain.inference.classifier import Classifier
from pochitrain.inference.decision import decide
from pochitrain.inference.predictor import Predictor
from pochitrain.serve.app import build_app
from pochitrain.serve.limit import Limits

NAMES = ["赤 red", "緑 green", "<b>青</b> blue"]
COLORS = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
LIMITS = Limits(max_bytes=300_000, max_pixels=1_000_000, max_files=4)


class BrightestChannel:
    """Logits are five times the mean of each channel."""

    name = "test"
    device = torch.device("cpu")

    def __call__(self, images: Tensor) -> Tensor:
        return 5 * images.mean(dim=(2, 3))


@pytest.fixture(scope="session")
def predictor() -> Predictor:
    pipeline = v2.Compose([v2.Resize((8, 8)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    config = {"model": {"name": "brightest"}, "data": {}}
    classifier = Classifier(
        BrightestChannel(), NAMES, pipeline, config, Path("best.pth"), [], transforms=[]
    )
    return Predictor(classifier, batch_size=4)


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Bytes of an image of one colour."""

    def make(
        color: tuple[int, int, int], size: tuple[int, int] = (20, 10), kind: str = "PNG"
    ) -> bytes:
        stream = io.BytesIO()
        Image.new("RGB", size, color).save(stream, kind)
        return stream.getvalue()

    return make


def bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """A PNG of a few kilobytes that announces 3.6 thousand million pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1_000_000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


@contextmanager
def running(app: Any) -> Iterator[str]:
    """An application on a free port of the loopback interface."""
    from pochitrain.run.serve import listen
    from pochitrain.serve.connection import build_server

    # Imported on first use, in the server's thread, where pytest's way of importing can crash
    # Python 3.11 before 3.11.8 ("AST constructor recursion depth mismatch").
    assert anyio.open_file is not None
    listener = listen("127.0.0.1", 0)
    server = build_server(app, LIMITS.max_body_files, shutdown_s=3)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)


@pytest.fixture(scope="session")
def address(predictor: Predictor) -> Iterator[str]:
    with running(build_app(predictor, LIMITS)) as url:
        yield url


@pytest.fixture(scope="session")
def cautious_address(predictor: Predictor) -> Iterator[str]:
    """The same model, all logits divided by 2, that says unknown below a confidence of 0.5."""
    known = Calibration(2.0, 100, ((0.0, 100, 20), (0.5, 90, 0)), ((0.5, 0.3), (0.9, 0.2)))
    classifier = replace(predictor.classifier, calibration=known, temperature=2.0)
    decision = decide(known, classifier.source, max_error=0.1, coverage=0.9)
    with running(build_app(Predictor(classifier, decision=decision), LIMITS)) as url:
        yield url


@pytest.fixture(scope="session")
def keeping() -> Predictor:
    """Like `predictor`, but its transform keeps sizes; 20,000 pixels may go through at once."""
    pipeline = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    config = {"model": {"name": "brightest"}, "data": {}}
    classifier = Classifier(
        BrightestChannel(), NAMES, pipeline, config, Path("best.pth"), [], transforms=[]
    )
    return Predictor(classifier, max_pixels=20_000)
