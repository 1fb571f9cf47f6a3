"""Ending a search early, and cleaning up between trials."""

import gc
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pochitrain.error import Interrupted


@contextmanager
def stop_on_sigterm() -> Iterator[None]:
    """Inside, SIGTERM raises `Interrupted`, as Ctrl+C raises KeyboardInterrupt.

    A training run in this process has its own handlers while it lasts (it saves its state first).
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        raise Interrupted("Stopped by SIGTERM. The same command goes on where it stopped.", 143)

    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def free_memory() -> None:
    """Give the device memory of a failed trial back before the next one starts."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()
