"""The worker processes of a search, without starting any."""

import multiprocessing
from types import SimpleNamespace

import pytest

from pochitrain.error import PochiError
from pochitrain.sweep.worker import Worker


def test_a_worker_that_died_while_idle_is_named() -> None:
    """Not a BrokenPipeError, which would keep the dead worker in its place for all later trials."""
    worker = object.__new__(Worker)
    worker.connection, theirs = multiprocessing.Pipe()
    theirs.close()
    dead = SimpleNamespace(exitcode=-9, sentinel=theirs, join=lambda timeout: None)
    worker.process = dead  # type: ignore[assignment]
    with pytest.raises(PochiError, match=r"died \(SIGKILL"):
        worker.run(0, [])
