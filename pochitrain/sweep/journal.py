"""A study in a file that several processes, also of several machines, append to."""

import json
import os
from typing import Any, BinaryIO

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from pochitrain.error import ConfigError
from pochitrain.text import first_line

BLOCK = 4096
"""Bytes that are read at a time from the end of the file."""


class WholeLineBackend(JournalFileBackend):
    """Optuna's file, which stays readable after a write that was cut off.

    A full disk or a machine that loses power leaves half a line, and the next line appended to it
    would make the file unreadable for good.

    The lock is a file made with O_EXCL, which is exclusive on NFS (version 3 and later) and on
    shared folders of Windows. Optuna's other lock, a symbolic link to the journal, never ends if
    its owner dies and others have the folder at another path.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.lock = JournalFileOpenLock(path)
        super().__init__(path, lock_obj=self.lock)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self.lock.acquire()
        try:
            with open(self.path, "r+b") as file:
                remove_torn_line(file)
                file.write(lines.encode())
                file.flush()
                os.fsync(file.fileno())
        finally:
            self.lock.release()


def remove_torn_line(file: BinaryIO) -> None:
    """Remove what follows the last line feed, and go to the end."""
    size = end = file.seek(0, os.SEEK_END)
    length = 1  # most often the last byte is the line feed
    while end > 0:
        start = file.seek(max(0, end - length))
        block = file.read(end - start)
        end = start + block.rfind(b"\n") + 1
        if end == start + len(block):
            break
        length = BLOCK
    if end < size:
        file.truncate(end)
    file.seek(end)


def open_journal(path: str, url: str, key: str) -> JournalStorage:
    """The journal in the file `path`, made if there is none.

    Args:
        url: what the user gave, for messages.
        key: config key of the setting, for messages.

    Raises:
        ConfigError: if it cannot be written, or is no journal.
    """
    try:
        return JournalStorage(WholeLineBackend(path))
    except Exception as error:  # of the file system, or of a line that is no JSON
        raise ConfigError(
            f"{key} must be a storage that can be opened, got {url!r} "
            f"({type(error).__name__}: {first_line(error)})."
        ) from error
