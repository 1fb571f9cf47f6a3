"""Connections: how many, and how long one may keep the service waiting.

uvicorn's own timeout starts after the first answer, so that a connection that never finishes its
first request would stay for ever; and its limit counts requests, not connections.
"""

import asyncio
import logging
import socket
import sys
from typing import Any, ClassVar

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

if sys.platform != "win32":
    import resource

HEADER_S = 10.0
"""That a connection may take for the headers of a request."""
READ_S = 30.0
"""That the other side may leave an answer unread."""
MAX_CONNECTIONS = 1000
ACCEPTED_AT_ONCE = 64
"""Connections taken before our code sees the first of them."""
RESERVED_FILES = 64 + 3 * ACCEPTED_AT_ONCE
"""Of the model and of Python, and connections taken or closed, but not yet counted."""
BACKLOG = 1024
"""Connections that the system keeps until they are taken."""


def max_connections(num_body_files: int) -> int:
    """How many connections the process has file descriptors for, at least 16.

    Args:
        num_body_files: descriptors kept free for pictures that lie on the disk.
    """
    if sys.platform == "win32":
        return 400  # of the 512 sockets that asyncio can watch there
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(16, min(MAX_CONNECTIONS, limit - RESERVED_FILES - num_body_files))


class BoundedProtocol(H11Protocol):
    """A connection that has to send its headers, and to read its answer, in time.

    Where there are too many, the one that has owed us a request for longest makes room: slow ones
    cannot keep others out.
    """

    limit = MAX_CONNECTIONS
    header_s = HEADER_S
    read_s = READ_S
    owing: ClassVar[dict["BoundedProtocol", None]] = {}
    """Connections in the order in which their last request began; some have sent it by now."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.header_timer: asyncio.TimerHandle | None = None
        self.read_timer: asyncio.TimerHandle | None = None

    @property
    def lacks_headers(self) -> bool:
        """Whether no request is under way: none has come, or only a part of the next headers."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def lacks_request(self) -> bool:
        """Whether we wait for headers or for the rest of a body, and not the other side for us."""
        return self.lacks_headers or self.cycle.more_body

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.watch_headers()
        if len(self.connections) > self.limit:
            self.make_room()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.watch_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.owing.pop(self, None)
        for timer in (self.header_timer, self.read_timer):
            if timer is not None:
                timer.cancel()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.read_timer = self.loop.call_later(self.read_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.read_timer is not None:
            self.read_timer.cancel()

    def watch_headers(self) -> None:
        """Start the clock with a request's first byte, stop it with the last of its headers."""
        if not self.lacks_headers:
            if self.header_timer is not None:
                self.header_timer.cancel()
                self.header_timer = None
        elif self.header_timer is None and not self.transport.is_closing():
            self.owing.pop(self, None)
            self.owing[self] = None
            self.header_timer = self.loop.call_later(self.header_s, self.give_up)

    def give_up(self) -> None:
        self.header_timer = None
        if self.lacks_headers:
            self.transport.abort()

    def make_room(self) -> None:
        """Close the connection that has owed us a request for longest; this one, if no other."""
        while self.owing:
            oldest = next(iter(self.owing))
            del self.owing[oldest]
            if oldest.lacks_request and not oldest.transport.is_closing():
                oldest.transport.abort()
                return


class BoundedServer(uvicorn.Server):
    """Takes few connections at a time, and reports a lack of file descriptors in one line."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or []:
            listener.listen(BACKLOG)  # uvicorn's backlog is also how many it takes at a time
        asyncio.get_running_loop().set_exception_handler(report_loop_error)


def report_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """As asyncio does, but without a stack where the system is out of something."""
    message, error = context.get("message", ""), context.get("exception")
    if isinstance(error, OSError) and "accept" in message:
        logging.getLogger("uvicorn.error").warning("No new connections: %s.", error.strerror)
        return
    loop.default_exception_handler(context)


def build_server(app: Any, num_body_files: int, shutdown_s: int) -> uvicorn.Server:
    """The server, to be run with a listening socket."""
    own = {"limit": max_connections(num_body_files), "owing": {}}
    protocol = type("Protocol", (BoundedProtocol,), own)
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http=protocol,
        ws="none",
        backlog=ACCEPTED_AT_ONCE,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=shutdown_s,
    )
    return BoundedServer(config)
