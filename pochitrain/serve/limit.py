"""What a request may cost, and refusing more before it costs anything."""

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
    max_bytes: int = 20_000_000
    """Of a whole request."""
    max_pixels: int = 50_000_000
    """Of one image, before it is decoded."""
    max_files: int = 16
    """Images in one request."""
    pause_s: float = 10.0
    """That a body may stand still."""
    body_s: float = 30.0
    """That a body may take; and a second more for every `bytes_per_s`."""
    bytes_per_s: int = 50_000
    """What a slow line carries."""

    @property
    def max_held_bytes(self) -> int:
        """Of all requests that are not answered yet."""
        return max(200_000_000, 2 * self.max_bytes)

    @property
    def max_body_files(self) -> int:
        """Pictures of those requests that lie on the disk."""
        return self.max_held_bytes // MultiPartParser.spool_max_size


class BodyLimit:
    """ASGI middleware: ends a request whose body is too large, announced or not, or too slow, and
    one for whose body there is no room beside those of the others."""

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
    """The body of one request, as it comes in.

    The errors are FastAPI's, which turns them into the answer; anything else it would report as a
    bad body.
    """

    def __init__(self, owner: BodyLimit, receive: Receive) -> None:
        self.owner = owner
        self.next_message = receive
        self.seen = 0
        self.complete = False
        self.started = asyncio.get_running_loop().time()

    async def receive(self) -> Message:
        if self.complete:  # what comes now is at most that the other side has gone
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
        """Until the next part of the body must be here."""
        limits = self.owner.limits
        passed = asyncio.get_running_loop().time() - self.started
        left = limits.body_s + self.seen / limits.bytes_per_s - passed
        return max(0.0, min(limits.pause_s, left))


class PixelGate:
    """Lets images through that have `capacity` pixels together; for threads, which wait."""

    def __init__(self, capacity: int) -> None:
        self.free = capacity
        self.changed = threading.Condition()

    @contextmanager
    def hold(self, pixels: int) -> Iterator[None]:
        """Wait for room; `pixels` must not be more than the whole capacity."""
        with self.changed:
            self.changed.wait_for(lambda: self.free >= pixels)
            self.free -= pixels
        try:
            yield
        finally:
            with self.changed:
                self.free += pixels
                self.changed.notify_all()
