"""Hydra keeps global state; a test that runs an application must leave none behind."""

import logging
from collections.abc import Iterator

import pytest
from hydra.core.global_hydra import GlobalHydra


@pytest.fixture(autouse=True)
def clean_hydra() -> Iterator[None]:
    yield
    GlobalHydra.instance().clear()
    for handler in list(logging.getLogger().handlers):
        if type(handler).__module__ == "logging":
            logging.getLogger().removeHandler(handler)
