"""Ending a search early."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pochitrain.error import Interrupted


@contextmanager
def stop_on_sigterm(is_resumable: bool) -> Iterator[None]:
    """In the block, SIGTERM raises `Interrupted`, as Ctrl+C raises KeyboardInterrupt.

    A training run in this process installs its own handlers meanwhile, to save its state first.

    Args:
        is_resumable: whether the study is stored, so that the same command continues it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    next_step = (
        "The same command continues the search."
        if is_resumable
        else "The study was kept in memory only, so the search cannot be continued."
    )

    def handle(number: int, frame: FrameType | None) -> None:
        raise Interrupted(f"Stopped by SIGTERM. {next_step}", 143)

    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
