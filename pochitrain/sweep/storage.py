"""Where a study is kept: in memory, a journal file, or any database that SQLAlchemy knows."""

import os
import re
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from pochitrain.error import ConfigError
from pochitrain.text import first_line

JOURNAL = "journal://"
SQLITE = "sqlite:///"
JOURNAL_SUFFIXES = (".journal", ".log", ".jsonl")


def resolve_storage(url: Any) -> Any:
    """`url` with absolute paths, so that jobs in other folders find it; None = in memory.

    A storage object of Optuna, which only code can give, stays what it is.

    Raises:
        ConfigError: not a URL.
    """
    if url is None or isinstance(url, BaseStorage):
        return url
    text = str(url)
    if text.startswith(JOURNAL):
        return JOURNAL + os.path.abspath(os.path.expanduser(text.removeprefix(JOURNAL)))
    if text.startswith(SQLITE):
        path = text.removeprefix(SQLITE)
        if path.startswith("file:") or path in ("", ":memory:"):
            return text
        return SQLITE + os.path.abspath(os.path.expanduser(path))
    if text.endswith(JOURNAL_SUFFIXES) and "://" not in text:
        return JOURNAL + os.path.abspath(os.path.expanduser(text))
    if "://" not in text:
        raise ConfigError(
            f"optuna.storage must be a URL, got {text!r}. Examples: sqlite:///study.db, "
            "journal://study.journal, postgresql://user@host/database; null keeps it in memory."
        )
    return text


def open_storage(url: str | BaseStorage | None) -> BaseStorage:
    """The storage at `url` (as `resolve_storage` gives it); files and folders are made.

    Raises:
        ConfigError: it cannot be reached or opened.
    """
    if url is None:
        return optuna.storages.InMemoryStorage()
    if isinstance(url, BaseStorage):
        return url
    try:
        if url.startswith(JOURNAL):
            path = Path(url.removeprefix(JOURNAL))
            path.parent.mkdir(parents=True, exist_ok=True)
            return JournalStorage(JournalFileBackend(str(path)))
        if url.startswith(SQLITE):
            folder = Path(url.removeprefix(SQLITE)).parent
            folder.mkdir(parents=True, exist_ok=True)
            # Trials in other processes write too: wait for the lock instead of failing.
            return RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}})
        return RDBStorage(url)
    except Exception as error:  # the driver's own exception types are not known here
        text = first_line(error)
        raise ConfigError(
            f"optuna.storage must be a storage that can be opened, got {redact(url)!r} "
            f"({type(error).__name__}: {redact(text)})."
        ) from error


def redact(text: str) -> str:
    """`text` without the password of a URL."""
    return re.sub(r"(://[^/:@\s]*):[^/@\s]*@", r"\1:***@", text)
