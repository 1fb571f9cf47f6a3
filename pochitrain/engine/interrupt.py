"""Stopping a run by a signal: it finishes the batch, saves its state and ends.

SIGUSR2 is one of these signals in a job of submitit, which has a handler of its own for it: SLURM
sends it before it ends the job. That handler puts the job into the queue again, once the state is
saved (`requeueing`).
"""

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
REQUEUE: signal.Signals | None = getattr(signal, "SIGUSR2", None)
"""The signal of submitit; None on Windows."""

T = TypeVar("T")


class StopRequest:
    """Set by a signal handler, read by the training loop between batches."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self.immediate = False
        """Whether the first signal already interrupts, since there is nothing left to save."""

    def end_of_training(self) -> None:
        """Let signals interrupt at once, from when everything is saved.

        Raises:
            Interrupted: if a signal arrived after the last batch.
        """
        self.immediate = True
        if self.signal is not None:
            raise self.error("after the last epoch")

    def watch(self, items: Iterable[T], where: str) -> Iterator[T]:
        """Yield `items` until a signal arrives.

        Args:
            where: as in `error`.

        Raises:
            Interrupted: before the next item, once a signal has arrived.
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
def stop_on_signal(request: StopRequest, *, announce: bool = True) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM set `request`, and a second SIGINT raise KeyboardInterrupt.

    In a job of submitit SIGUSR2 sets it too (see above).
    Does nothing outside the main thread, the only one in which Python handles signals.

    Args:
        announce: whether to print that the signal has arrived.
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
            if not announce:
                return
            # Not print(): the code that was interrupted may be inside a print() of its own.
            hint = " Ctrl+C again stops at once." if number == signal.SIGINT else ""
            text = f"\n{request.signal.name}: finishing the batch, then saving.{hint}\n"
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, text.encode())

    listened = list(SIGNALS)
    if REQUEUE is not None and has_handler(REQUEUE):
        listened.append(REQUEUE)
    before = {number: signal.signal(number, handle) for number in listened}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def has_handler(number: signal.Signals) -> bool:
    """Whether Python code handles a signal here."""
    return callable(signal.getsignal(number))


@contextmanager
def requeueing() -> Iterator[None]:
    """After a run that SIGUSR2 has stopped, call the handler that submitit has for it.

    Raises:
        SystemExit: the job was put into the queue again, where the next part of the run waits.
    """
    try:
        yield
    except Interrupted as error:
        if REQUEUE is not None and error.exit_code == 128 + REQUEUE and has_handler(REQUEUE):
            signal.raise_signal(REQUEUE)
        raise
