"""Signals that ask a run to stop: the batch is finished and the state saved, then it ends."""

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
        """Set where nothing has to be finished first: already the first signal interrupts."""

    def end_of_training(self) -> None:
        """From now on everything is saved.

        Raises:
            Interrupted: if a signal came after the last batch.
        """
        self.immediate = True
        if self.signal is not None:
            raise self.error("after the last epoch")

    def watch(self, items: Iterable[T], where: str) -> Iterator[T]:
        """`items`, as long as no signal came.

        Raises:
            Interrupted: before the next item, once one came.
        """
        for item in items:
            if self.signal is not None:
                raise self.error(where)
            yield item

    def error(self, where: str) -> Interrupted:
        """What ends the run; `where` is a phrase such as "in epoch 3, after 12 batches"."""
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
            # print() may be in the middle of a line of the code that was interrupted.
            hint = " Ctrl+C again stops at once." if number == signal.SIGINT else ""
            text = f"\n{request.signal.name}: finishing the batch, then saving.{hint}\n"
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, text.encode())

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
