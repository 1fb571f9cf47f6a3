"""Files that are there completely or not at all."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

UMASK = os.umask(0o022)  # only readable by setting it, so once, before there are threads
os.umask(UMASK)


@contextmanager
def replacing(
    path: str | Path, when_complete: Callable[[], object] | None = None
) -> Iterator[IO[bytes]]:
    """A binary file that takes the place of `path` when the block ends without an error.

    Written beside it, flushed to the disk and renamed, so nobody ever sees half of it.

    Args:
        when_complete: called when the new file is on the disk and the old one still has its name.

    Raises:
        OSError: with `path` as its filename also where the system names none (a full disk).
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
    sync_directory(path.parent)


def write_text(path: str | Path, text: str) -> None:
    """Replace `path` by `text` in UTF-8; bytes of file names that are none become \\udcff."""
    with replacing(path) as file:
        file.write(text.encode("utf-8", "backslashreplace"))


def write_with(
    path: str | Path,
    save: Callable[[IO[bytes]], object],
    when_complete: Callable[[], object] | None = None,
) -> None:
    """Replace `path` by what `save(file)` writes; see `replacing`."""
    with replacing(path, when_complete) as file:
        save(file)


def sync_directory(path: Path) -> None:
    """Make a rename in `path` survive a power cut, where the system can."""
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
