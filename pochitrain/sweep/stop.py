"""Ending a search early."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pochitrain.error import Interrupted


@contextmanager
def stop_on_sigterm(next_step: str) -> Iterator[None]:
    """In the block, SIGTERM raises `Interrupted`, as Ctrl+C raises KeyboardInterrupt.

    A training run in this process installs its own handlers meanwhile, to save its state first.

    Args:
        next_step: a sentence for the message: how to go on.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        raise Interrupted(f"Stopped by SIGTERM. {next_step}", 143)

    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def next_step(is_resumable: bool) -> str:
    """How to go on with a search that was stopped; a sentence.

    Args:
        is_resumable: whether the study is stored.
    """
    if is_resumable:
        return "The same command continues the search."
    return "The study was kept in memory only, so the search cannot be continued."
