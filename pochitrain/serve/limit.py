"""What a request may cost, and refusing more before it costs anything."""

from dataclasses import dataclass

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(frozen=True)
class Limits:
    max_bytes: int = 20_000_000
    """Of a whole request."""
    max_pixels: int = 50_000_000
    """Of one image, before it is decoded."""
    max_files: int = 16
    """Images in one request."""


class BodyLimit:
    """ASGI middleware: ends a request whose body grows beyond `max_bytes`, announced or not."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.max_bytes:
                # FastAPI turns this into the answer; anything else it would report as a bad body.
                raise HTTPException(413, f"The request is larger than {self.max_bytes:,} bytes.")
            return message

        await self.app(scope, counted, send)
