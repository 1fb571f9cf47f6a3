"""Atomic file writes: a file is replaced completely or not at all."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

UMASK = os.umask(0o022)  # can only be read by setting it: done once, before threads start
os.umask(UMASK)


@contextmanager
def replacing(
    path: str | Path,
    when_complete: Callable[[], object] | None = None,
    *,
    at_once: bool = True,
) -> Iterator[IO[bytes]]:
    """A binary file that replaces `path` when the block ends without an error.

    It is written to a temporary file in the same folder, flushed to disk and renamed, so a reader
    never sees a partial file.

    Args:
        when_complete: called once the new file is on disk, before it replaces the old one.
        at_once: the new file also survives a power failure right afterwards. Otherwise what
            was there before may be there again: the old one, complete as well, or none.

    Raises:
        OSError: its filename is `path` even if the system gives none (a full disk).
    """
    path = Path(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    except OSError as error:
        error.filename = str(path)
        raise
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~UMASK)
        if when_complete is not None:
            when_complete()
        os.replace(name, path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)
        raise
    if at_once:
        sync_directory(path.parent)


def write_text(path: str | Path, text: str) -> None:
    """Replace the content of `path` with `text` in UTF-8, as `replacing` does with at_once=False.

    A trial of a search writes a dozen such files, and waiting for the folder takes as long as
    waiting for the file. Bytes of file names that are not valid UTF-8 are written as escapes
    (\\udcff).
    """
    with replacing(path, at_once=False) as file:
        file.write(text.encode("utf-8", "backslashreplace"))


def write_with(
    path: str | Path,
    save: Callable[[IO[bytes]], object],
    when_complete: Callable[[], object] | None = None,
) -> None:
    """Replace the content of `path` with what `save(file)` writes; see `replacing`."""
    with replacing(path, when_complete) as file:
        save(file)


def sync_directory(path: Path) -> None:
    """Make a rename in folder `path` survive a power failure, where the system supports it."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
