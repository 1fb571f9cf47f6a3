"""Limits on the number of connections, and on the time that each may take.

uvicorn's own timeout starts after the first response, so a connection that never finishes its first
request would stay open for ever; and its limit counts requests, not connections.
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
"""Seconds that a client may take to send the headers of a request."""
READ_S = 30.0
"""Seconds that a client may leave a response unread."""
MAX_CONNECTIONS = 1000
ACCEPTED_AT_ONCE = 64
"""Connections that asyncio accepts in a row before our code sees the first."""
RESERVED_FILES = 64 + 3 * ACCEPTED_AT_ONCE
"""File descriptors for Python, the model, and connections not yet counted or still closing."""
BACKLOG = 1024
"""Connections that the system queues until they are accepted."""


def max_connections(num_body_files: int) -> int:
    """Number of connections for which the process has file descriptors, at least 16.

    Args:
        num_body_files: descriptors reserved for uploaded files on disk.
    """
    if sys.platform == "win32":
        return 400  # asyncio can watch 512 sockets there
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(16, min(MAX_CONNECTIONS, limit - RESERVED_FILES - num_body_files))


class BoundedProtocol(H11Protocol):
    """A connection whose client must send headers and read the response in time.

    If there are too many connections, the one whose request has been incomplete for longest is
    closed, so that slow clients cannot keep others out.
    """

    limit = MAX_CONNECTIONS
    header_s = HEADER_S
    read_s = READ_S
    awaiting: ClassVar[dict["BoundedProtocol", None]] = {}
    """Connections in the order in which their latest request began; it may be complete by now."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.header_timer: asyncio.TimerHandle | None = None
        self.read_timer: asyncio.TimerHandle | None = None

    @property
    def lacks_headers(self) -> bool:
        """Whether the headers of the next request are still incomplete."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def lacks_request(self) -> bool:
        """Whether a request is still incomplete: its headers or its body."""
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
        self.awaiting.pop(self, None)
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
        """Start the timer while headers are awaited; cancel it once they are complete."""
        if not self.lacks_headers:
            if self.header_timer is not None:
                self.header_timer.cancel()
                self.header_timer = None
        elif self.header_timer is None and not self.transport.is_closing():
            self.awaiting.pop(self, None)
            self.awaiting[self] = None
            self.header_timer = self.loop.call_later(self.header_s, self.give_up)

    def give_up(self) -> None:
        """Close the connection: its headers did not arrive in time."""
        self.header_timer = None
        if self.lacks_headers:
            self.transport.abort()

    def make_room(self) -> None:
        """Close the connection whose request has been incomplete for longest, perhaps this one."""
        while self.awaiting:
            oldest = next(iter(self.awaiting))
            del self.awaiting[oldest]
            if oldest.lacks_request and not oldest.transport.is_closing():
                oldest.transport.abort()
                return


class BoundedServer(uvicorn.Server):
    """Accepts few connections in a row, and reports a lack of file descriptors in one line."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or []:
            listener.listen(BACKLOG)  # uvicorn's backlog is also how many are accepted in a row
        asyncio.get_running_loop().set_exception_handler(report_loop_error)


def report_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """asyncio's handler, except that failures to accept a connection are one line, not a stack."""
    message, error = context.get("message", ""), context.get("exception")
    if isinstance(error, OSError) and "accept" in message:
        logging.getLogger("uvicorn.error").warning("No new connections: %s.", error.strerror)
        return
    loop.default_exception_handler(context)


def build_server(app: Any, num_body_files: int, shutdown_s: int) -> uvicorn.Server:
    """The server for an ASGI application; run it with a listening socket.

    Args:
        num_body_files: file descriptors reserved for uploaded files on disk.
        shutdown_s: seconds that open requests get at shutdown.
    """
    own = {"limit": max_connections(num_body_files), "awaiting": {}}
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
