"""A proxy between many searches and one database: `python -m pochitrain.sweep.proxy URL`.

The searches use `grpc://host:port` as their storage. The proxy keeps a few connections to the
database, whatever the number of searches, and reads each trial once for all of them. Optuna's proxy
has neither passwords nor encryption: whoever reaches the port may change the studies.
"""

import argparse
import os
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, GrpcStorageProxy, run_grpc_proxy_server

from pochitrain.error import ConfigError, PochiError
from pochitrain.sweep.password import hide_password, redact
from pochitrain.text import first_line

PORT = 13000
READY_S = 10.0
"""Seconds in which a proxy must answer when a search begins."""
THREADS = 10
"""Requests that the proxy works on at a time."""


def connect_proxy(url: str, key: str) -> BaseStorage:
    """The storage behind the proxy at `grpc://host:port`.

    Args:
        key: config key of the setting, for messages.

    Raises:
        ConfigError: if there is no proxy.
    """
    try:
        import grpc  # noqa: F401
    except ImportError:
        raise ConfigError(
            f"{key}=grpc://... needs the package grpcio, which is not installed. "
            "Type: pip install 'pochitrain[postgresql]'"
        ) from None
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


def serve_proxy(url: str, host: str, port: int) -> None:
    """Answer for the database at `url` until the process is ended.

    Raises:
        ConfigError: if it cannot be opened, or the port is in use.
    """
    from pochitrain.sweep.storage import open_storage, resolve_storage

    url = resolve_storage(url, "URL")
    if not url.partition("://")[0].startswith(("postgres", "mysql", "mariadb", "sqlite")):
        raise ConfigError(f"URL must be that of a database, got {redact(url)!r}.")
    storage = open_storage(url, "URL")
    print(f"Proxy of {redact(url)} at grpc://{host}:{port}", flush=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            run_grpc_proxy_server(
                storage, host=host, port=port, thread_pool=ThreadPoolExecutor(THREADS)
            )
    except RuntimeError as error:
        raise ConfigError(
            f"--port must be free on {host}, got {port} ({first_line(error)})."
        ) from None


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m pochitrain.sweep.proxy", description=__doc__)
    parser.add_argument("url", help="of the database, as for optuna.storage")
    parser.add_argument("--host", default="localhost", help="address to listen on (localhost)")
    parser.add_argument("--port", type=int, default=PORT, help=f"port to listen on ({PORT})")
    options = parser.parse_args([hide_password(word) for word in sys.argv[1:]])
    try:
        serve_proxy(options.url, options.host, options.port)
    except PochiError as error:
        print(redact(str(error)), file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
