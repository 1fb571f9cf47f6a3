"""Signals that ask a run to stop: it finishes the batch, saves its state, then ends."""

import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from pochitrain.error import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)

T = TypeVar("T")


class StopRequest:
    """Set by a signal handler, read by the training loop between batches."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self.immediate = False
        """Whether already the first signal interrupts, because nothing needs to be finished."""

    def end_of_training(self) -> None:
        """Everything is saved; from now on a signal interrupts at once.

        Raises:
            Interrupted: if a signal came after the last batch.
        """
        self.immediate = True
        if self.signal is not None:
            raise self.error("after the last epoch")

    def watch(self, items: Iterable[T], where: str) -> Iterator[T]:
        """The same items, until a signal comes.

        Args:
            where: as in `error`.

        Raises:
            Interrupted: before the next item, once a signal came.
        """
        for item in items:
            if self.signal is not None:
                raise self.error(where)
            yield item

    def error(self, where: str) -> Interrupted:
        """The error that ends the run; `where` is a phrase, "in epoch 3, after 12 batches"."""
        assert self.signal is not None
        return Interrupted(f"Stopped by {self.signal.name} {where}.", 128 + self.signal)


@contextmanager
def stop_on_signal(request: StopRequest) -> Iterator[None]:
    """Inside, the first SIGINT or SIGTERM sets `request`; a second SIGINT raises KeyboardInterrupt.

    Signals reach Python in the main thread only, so in another thread nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if request.immediate or (request.signal is not None and number == signal.SIGINT):
            request.signal = signal.Signals(number)
            raise KeyboardInterrupt
        if request.signal is None:
            request.signal = signal.Signals(number)
            # Not print(): the code that was interrupted may be inside a print() of its own.
            hint = " Ctrl+C again stops at once." if number == signal.SIGINT else ""
            text = f"\n{request.signal.name}: finishing the batch, then saving.{hint}\n"
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, text.encode())

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
