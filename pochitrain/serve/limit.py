"""Limits on the size and duration of requests, enforced before they use resources."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fastapi import HTTPException
from starlette.formparsers import MultiPartParser
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(frozen=True)
class Limits:
    """Limits on one request, in bytes, pixels, files and seconds."""

    max_bytes: int = 20_000_000
    """Size of a whole request."""
    max_pixels: int = 50_000_000
    """Size of an image, checked before it is decoded."""
    max_files: int = 16
    """Number of images in one request."""
    pause_s: float = 10.0
    """Longest pause in a body, in seconds."""
    body_s: float = 30.0
    """Longest duration of a body, in seconds, plus one second for every `bytes_per_s` received."""
    bytes_per_s: int = 50_000
    """Speed that is expected of a slow network."""

    @property
    def max_held_bytes(self) -> int:
        """Total size of all requests that are not answered yet."""
        return max(200_000_000, 2 * self.max_bytes)

    @property
    def max_body_files(self) -> int:
        """Largest number of files on disk that belong to these requests."""
        return self.max_held_bytes // MultiPartParser.spool_max_size


class BodyLimit:
    """ASGI middleware that ends requests whose body is too large or too slow.

    Also those whose body, with those of all other open requests, exceeds `max_held_bytes`.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app = app
        self.limits = limits
        self.held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = Body(self, receive)
        try:
            await self.app(scope, body.receive, send)
        finally:
            self.held -= body.seen


class Body:
    """The body of one request while it is received.

    It raises HTTPException, which FastAPI turns into a response; it reports other errors as a
    malformed body.
    """

    def __init__(self, owner: BodyLimit, receive: Receive) -> None:
        self.owner = owner
        self.next_message = receive
        self.seen = 0
        self.complete = False
        self.started = asyncio.get_running_loop().time()

    async def receive(self) -> Message:
        """The next ASGI message.

        Raises:
            HTTPException: 408 too slow, 413 too large, 503 too much in other requests.
        """
        if self.complete:  # the only message left is a disconnect
            return await self.next_message()
        try:
            message = await asyncio.wait_for(self.next_message(), self.patience_s())
        except TimeoutError:
            raise HTTPException(
                408, "The request came too slowly.", headers={"Connection": "close"}
            ) from None
        size = len(message.get("body", b""))
        self.seen += size
        self.owner.held += size
        self.complete = not message.get("more_body", False)
        limits = self.owner.limits
        if self.seen > limits.max_bytes:
            raise HTTPException(413, f"The request is larger than {limits.max_bytes:,} bytes.")
        if self.owner.held > limits.max_held_bytes:
            raise HTTPException(
                503, "The service is busy. Try again later.", headers={"Retry-After": "5"}
            )
        return message

    def patience_s(self) -> float:
        """Seconds within which the next part of the body must arrive."""
        limits = self.owner.limits
        passed = asyncio.get_running_loop().time() - self.started
        left = limits.body_s + self.seen / limits.bytes_per_s - passed
        return max(0.0, min(limits.pause_s, left))


class PixelGate:
    """Limits the pixels that several threads hold at the same time to `capacity`."""

    def __init__(self, capacity: int) -> None:
        self.free = capacity
        self.changed = threading.Condition()

    @contextmanager
    def hold(self, pixels: int) -> Iterator[None]:
        """Wait until `pixels`, at most the whole capacity, are free, and hold them in the block."""
        with self.changed:
            self.changed.wait_for(lambda: self.free >= pixels)
            self.free -= pixels
        try:
            yield
        finally:
            with self.changed:
                self.free += pixels
                self.changed.notify_all()
