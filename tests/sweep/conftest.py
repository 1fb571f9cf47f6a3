"""Hydra keeps global state; a test that runs an application must leave none behind."""

import logging
from collections.abc import Iterator

import pytest
from hydra.core.global_hydra import GlobalHydra

from tests.sweep.postgresql_server import PostgresServer, find_binaries


@pytest.fixture(autouse=True)
def clean_hydra() -> Iterator[None]:
    yield
    GlobalHydra.instance().clear()
    for handler in list(logging.getLogger().handlers):
        if type(handler).__module__ == "logging":
            logging.getLogger().removeHandler(handler)


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL server; the tests that need one are skipped where it is not installed."""
    if find_binaries() is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    pytest.importorskip("psycopg")
    server = PostgresServer(max_connections=20)
    yield server
    server.close()
