"""The processes that load images: how they start, fail and end."""

import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

from torch._C import _remove_worker_pids
from torch.utils.data import DataLoader

from pochitrain.error import DataError, PochiError
from pochitrain.text import first_line
from pochitrain.threads import num_cores

TERM_GRACE_S = 30
"""Seconds that a loader process goes on after SIGTERM."""
DEATH_NOTICE_S = 5
"""How long to wait at most to hear why a loader process is gone."""


def without_worker_traceback(text: str) -> str:
    """The message of an error that a loader process raised, as it was there."""
    marker = f"{PochiError.__module__}."
    if "Original Traceback" not in text or marker not in text:
        return text
    return text.rpartition(marker)[2].partition(": ")[2].strip()


def translate_worker_errors(loader: DataLoader[Any]) -> Iterator[Any]:
    """The batches of `loader`; failures in its processes become one line, and end all of them."""
    batches = None
    finished = False
    try:
        batches = iter(loader)
        yield from batches
        finished = True
    except GeneratorExit:  # the reader has left in mid-epoch; workers that persist go on
        finished = loader.persistent_workers
        raise
    except PochiError as error:
        raise type(error)(without_worker_traceback(str(error))) from None
    except RuntimeError as error:
        raise (dead_worker(error, loader.num_workers) or error) from None
    except (OSError, EOFError):
        if loader.num_workers == 0:
            raise
        # The pipe to a killed process breaks a moment before torch hears of its death and says so,
        # out of a signal handler.
        try:
            time.sleep(DEATH_NOTICE_S)
        except RuntimeError as error:
            raise (dead_worker(error, loader.num_workers) or error) from None
        raise
    finally:
        if not finished:
            end_workers(batches or loader._iterator)
            loader._iterator = None


def end_workers(iterator: Any) -> None:
    """End the processes of an iterator of a DataLoader at once, whatever they are doing.

    torch asks each to end, waits 5 s for it, then sends SIGTERM, which `outlive_signals` holds up.
    One that was killed may have left a lock behind that all the others wait for. Nothing that they
    hold is of use any more.
    """
    workers = getattr(iterator, "_workers", [])
    if getattr(iterator, "_shutdown", True):
        return
    iterator._shutdown = True  # so that the iterator does not do it again, its own way
    if iterator._worker_pids_set:  # else torch would report the processes as dead
        _remove_worker_pids(id(iterator))
        iterator._worker_pids_set = False
    if hasattr(iterator, "_pin_memory_thread"):
        iterator._pin_memory_thread_done_event.set()
        iterator._worker_result_queue.put((None, None))
        iterator._pin_memory_thread.join(timeout=1)
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.join()
    for queue in [*iterator._index_queues, iterator._worker_result_queue]:
        queue.cancel_join_thread()
        queue.close()


def dead_worker(error: RuntimeError, num_workers: int) -> DataError | None:
    """What to tell when a loader process was killed; None for another error."""
    if "DataLoader worker" not in str(error):
        return None
    first = first_line(error).rstrip(". ")
    return DataError(
        f"A process that loads pictures ended ({first}). If the machine was short of memory, use "
        f"fewer: data.num_workers={max(0, num_workers // 2)}."
    )


def outlive_signals(worker: int) -> None:
    """In a loader process: let the run finish its batch when a whole process group is signalled.

    Ctrl+C in a terminal and some clusters signal every process of a job. The main process decides
    when to stop; a SIGTERM only makes sure that no loader process outlives it by long.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(TERM_GRACE_S))


def start_method(num_workers: int) -> str | None:
    """How loader processes start; None = as the platform does.

    On Linux they are forked, also in the processes of a search, which were started otherwise. So
    nothing is pickled (a transform may be a lambda) and nothing is imported again.
    """
    return "fork" if num_workers > 0 and sys.platform == "linux" else None


def default_num_workers(device_type: str = "cpu") -> int:
    """Processes that load images.

    For a CPU half the cores, at most 8; for a GPU all but one, at most 16: there the cores have
    nothing else to do, and one GPU takes more images than 10 of them decode (docs/performance.md).
    """
    if device_type == "cpu":
        return max(1, min(8, num_cores() // 2))
    return max(1, min(16, num_cores() - 1))
