"""The way to a gRPC proxy before a database, `grpc://host:port` (see `sweep.proxy`)."""

import os
import warnings
from importlib.util import find_spec
from urllib.parse import urlsplit

from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, GrpcStorageProxy

from pochitrain.error import ConfigError
from pochitrain.sweep.password import redact

PORT = 13000
READY_S = 10.0
"""Seconds in which a proxy must answer when a search begins."""


def connect_proxy(url: str, key: str) -> BaseStorage:
    """The storage behind the proxy at `grpc://host:port`.

    Args:
        key: config key of the setting, for messages.

    Raises:
        ConfigError: if there is no proxy.
    """
    if find_spec("grpc") is None:
        raise ConfigError(
            f"{key}=grpc://... needs the package grpcio, which is not installed. "
            "Type: pip install 'pochitrain[postgresql]'"
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "localhost", parts.port or PORT
    except ValueError as error:
        raise ConfigError(
            f"{key} must be a URL like grpc://host:{PORT}, got {redact(url)!r} ({error})."
        ) from None
    # A process that loads images in others forks; gRPC must then leave its threads alone.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        proxy = GrpcStorageProxy(host=host, port=port)
    try:
        proxy.wait_server_ready(READY_S)
    except ConnectionError:
        raise ConfigError(
            f"{key} must be a proxy that answers, got {redact(url)!r} (none within {READY_S:.0f} "
            f"s). Start it: python -m pochitrain.sweep.proxy postgresql://user@host/database "
            f"--host 0.0.0.0 --port {port}"
        ) from None
    return proxy
