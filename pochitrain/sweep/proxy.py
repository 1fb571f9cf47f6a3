"""A proxy between many searches and one database: `python -m pochitrain.sweep.proxy URL`.

The searches use `grpc://host:port` as their storage. The proxy keeps a few connections to the
database, whatever the number of searches, and reads each trial once for all of them. Optuna's proxy
has neither passwords nor encryption: whoever reaches the port may change the studies.
"""

import argparse
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

from optuna.exceptions import ExperimentalWarning
from optuna.storages import run_grpc_proxy_server

from pochitrain.error import ConfigError, PochiError
from pochitrain.sweep.password import hide_password, redact
from pochitrain.sweep.proxy_client import PORT
from pochitrain.sweep.storage import open_storage, resolve_storage
from pochitrain.text import first_line

THREADS = 10
"""Requests that the proxy works on at a time."""


def serve_proxy(url: str, host: str, port: int) -> None:
    """Answer for the database at `url` until the process is ended.

    Raises:
        ConfigError: if it cannot be opened, or the port is in use.
    """
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
