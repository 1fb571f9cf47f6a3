"""A web service, from a run directory to a listening port."""

import asyncio
import logging
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from pochitrain.error import ConfigError, PochiError
from pochitrain.inference.predictor import Predictor

SHUTDOWN_S = 3
"""Seconds that requests under way get when the service is stopped."""


@dataclass
class ServeSettings:
    """What the command line says."""

    model: str
    host: str = "127.0.0.1"
    port: int = 8000
    device: str | None = None
    max_mb: int = 20
    max_megapixels: int = 50
    max_files: int = 16
    allow: Sequence[str] = ()


def serve(settings: ServeSettings) -> None:
    """Load the model and answer until interrupted.

    Raises:
        ConfigError: for a model or an address that cannot be used.
        PochiError: if the extra is not installed.
    """
    try:
        import uvicorn

        from pochitrain.serve.app import build_app
        from pochitrain.serve.limit import Limits
    except ImportError as error:
        raise PochiError(
            f"pochi serve needs the extra: pip install 'pochitrain[serve]' ({error})."
        ) from error
    predictor = Predictor.load(settings.model, device=settings.device, allow=settings.allow)
    million = 1_000_000
    limits = Limits(
        settings.max_mb * million, settings.max_megapixels * million, settings.max_files
    )
    listener = listen(settings.host, settings.port)
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"model    {predictor.classifier.source}", markup=False)
    console.print(f"page     http://{shown}:{port}/", markup=False)
    console.print(f"API      http://{shown}:{port}/docs", markup=False)
    config = uvicorn.Config(
        build_app(predictor, limits),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    logging.getLogger("uvicorn.error").addFilter(is_no_cancellation)
    uvicorn.Server(config).run(sockets=[listener])


def is_no_cancellation(record: logging.LogRecord) -> bool:
    """Off with the stack of a request that was cut short because the service stops."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free one.

    Raises:
        ConfigError: if the address is taken or not of this machine.
    """
    if port > 65535:  # the system would take the remainder
        raise ConfigError(f"--port must be <= 65535, got {port}.")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=512)
    except (OSError, UnicodeError, OverflowError) as error:
        error = error if isinstance(error, OSError) else OSError(None, str(error))
        raise ConfigError(
            f"--host and --port must be a free address of this machine, got {host}:{port} "
            f"({error.strerror or error}). Try another --port."
        ) from error
