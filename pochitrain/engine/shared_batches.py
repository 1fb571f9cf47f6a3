"""Batches that several processes work on together, each on its share."""

import signal
from collections.abc import Callable, Iterator

from pochitrain.data.loader import Batch
from pochitrain.engine.interrupt import StopRequest
from pochitrain.engine.process_group import ProcessGroup
from pochitrain.error import PochiError, ToldElsewhere


def agreed_batches(
    shares: Iterator[Batch],
    num_batches: int,
    group: ProcessGroup,
    request: StopRequest,
    where: Callable[[], str],
    may_stop: Callable[[], bool] = lambda: True,
    same: Callable[[], int] = lambda: 0,
) -> Iterator[Batch]:
    """The shares of this process. Before each batch all processes ask each other whether to go on.

    Args:
        shares: of this process; fewer than there are batches where it has none of the last one.
        num_batches: of all processes together.
        request: a signal to one process stops all of them.
        where: see `StopRequest.error`.
        may_stop: whether this is a moment at which a signal is obeyed.
        same: a number that all processes must have in common.

    Raises:
        Interrupted: after a signal to any process.
        ToldElsewhere: if another process cannot read its images.
        PochiError: if this one cannot, or if `same` is not the same.
    """
    for _ in range(num_batches + 1):  # once more after the last one
        share, failure = None, None
        try:
            share = next(shares, None)
        except PochiError as error:
            failure = error
        code, number = 0 if failure is None else failure.exit_code, same()
        stop, code, most, least = group.largest(request.signal or 0, code, number, -number)
        if failure is not None:
            raise failure
        if code:
            raise ToldElsewhere(code)
        if most != -least:
            raise PochiError(
                "The model must use the same layers for every batch to be trained in several "
                f"processes, got {most} parameters without a gradient in one and {-least} in "
                "another. Train it in one process."
            )
        if stop and may_stop():
            request.signal = signal.Signals(stop)
            raise request.error(where())
        if share is not None:
            yield share
