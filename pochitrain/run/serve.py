"""The web service: load a model and listen on a port."""

import asyncio
import logging
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from pochitrain.console import open_console
from pochitrain.error import ConfigError, PochiError
from pochitrain.inference.budget import MEGA
from pochitrain.inference.predictor import Predictor

SHUTDOWN_S = 3
"""Seconds that open requests get when the service is stopped."""


@dataclass
class ServeSettings:
    """The settings of the command line."""

    model: str
    host: str = "127.0.0.1"
    port: int = 8000
    device: str | None = None
    max_mb: int = 20
    max_megapixels: int = 50
    max_files: int = 16
    max_input_megapixels: int | None = None
    max_error: float | None = None
    coverage: float | None = None
    allowed_host: Sequence[str] = ()
    allow: Sequence[str] = ()


def serve(settings: ServeSettings) -> None:
    """Load the model and serve it until interrupted.

    Raises:
        ConfigError: for a model or an address that cannot be used.
        PochiError: if a package is not installed.
    """
    try:
        import uvicorn  # noqa: F401

        from pochitrain.serve.app import build_app
        from pochitrain.serve.connection import build_server
        from pochitrain.serve.limit import Limits
    except ImportError as error:
        raise PochiError(
            f"pochi serve needs more packages: pip install 'pochitrain[serve]' ({error})."
        ) from error
    predictor = Predictor.load(
        settings.model,
        device=settings.device,
        batch_size=settings.max_files,
        allow=settings.allow,
        max_input_megapixels=settings.max_input_megapixels,
        max_error=settings.max_error,
        coverage=settings.coverage,
    )
    limits = Limits(settings.max_mb * MEGA, settings.max_megapixels * MEGA, settings.max_files)
    listener = listen(settings.host, settings.port)
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    console = open_console()
    console.print(f"model    {predictor.classifier.source}", markup=False)
    console.result(f"page     http://{shown}:{port}/", markup=False)
    console.print(f"API      http://{shown}:{port}/docs", markup=False)
    app = build_app(predictor, limits, [settings.host, *settings.allowed_host])
    logging.getLogger("uvicorn.error").addFilter(is_no_cancellation)
    build_server(app, limits.max_body_files, SHUTDOWN_S).run(sockets=[listener])


def is_no_cancellation(record: logging.LogRecord) -> bool:
    """Whether to log a record: not the stack of a request cancelled by the shutdown."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 chooses a free one.

    Raises:
        ConfigError: if the address is in use or does not belong to this machine.
    """
    if port > 65535:  # the system would use the lower 16 bits
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
