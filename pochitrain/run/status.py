"""`status.json` of a run directory, and the lock of the process that is training in it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pochitrain.atomic import write_text
from pochitrain.engine.state import TrainState
from pochitrain.error import ConfigError
from pochitrain.text import format_json, read_object

if sys.platform != "win32":
    import fcntl

FILE = "status.json"
LOCK = ".lock"


def write_status(folder: Path, status: str, state: TrainState) -> None:
    """Write status.json: the progress of the run.

    Args:
        status: `running`, `interrupted`, `failed` or `finished`.
    """
    best = None if state.best is None else {"epoch": state.best.epoch, "value": state.best.value}
    content = {
        "status": status,
        "epoch": state.epoch,
        "batch": state.batch,
        "epochs": state.epochs,
        "monitor": state.monitor.metric,
        "unit": state.monitor.unit,
        "best": best,
        "stop_reason": state.stop_reason,
    }
    write_text(folder / FILE, format_json(content))


def read_status(folder: Path) -> dict[str, Any]:
    """The content of status.json; empty if it is missing or damaged."""
    return read_object(folder / FILE)


def is_finished(folder: Path) -> bool:
    """Whether the run has completed its epochs or was stopped early by a callback."""
    return read_status(folder).get("status") == "finished"


@contextmanager
def lock_run(folder: Path) -> Iterator[None]:
    """In the block, no other process can train in the run directory.

    It is a POSIX record lock: released whenever and however the process ends, and not inherited by
    loader processes.

    Raises:
        ConfigError: if another process holds it.
    """
    handle = try_lock(folder)
    if handle is None:
        raise ConfigError(
            f"resume must be a run that is not being trained, got {str(folder)!r}, which another "
            "process is training. Stop that one first."
        )
    try:
        yield
    finally:
        os.close(handle)


def is_locked(folder: Path) -> bool:
    """Whether another process is training in the run directory."""
    handle = try_lock(folder)
    if handle is None:
        return True
    os.close(handle)
    return False


def try_lock(folder: Path) -> int | None:
    """An open file whose lock this process holds; None if another process holds it."""
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    if sys.platform == "win32":
        return handle
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        os.close(handle)
        return None
    except OSError:  # a file system without locks
        pass
    return handle
