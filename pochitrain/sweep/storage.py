"""Storage of a study: in memory, a journal file, or any database that SQLAlchemy supports."""

import os
import re
import shlex
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from pochitrain.error import ConfigError
from pochitrain.text import first_line

JOURNAL = "journal://"
SQLITE = "sqlite:///"
JOURNAL_SUFFIXES = (".journal", ".log", ".jsonl")


def resolve_storage(url: Any, key: str = "storage") -> Any:
    """`url` with absolute paths, for jobs that run in other folders; None = in memory.

    An Optuna storage object is returned unchanged.

    Args:
        key: config key of the setting, for messages.

    Raises:
        ConfigError: if it is not a URL, or a file in a folder that does not exist.
    """
    if url is None or isinstance(url, BaseStorage):
        return url
    text = str(url)
    if text.endswith(JOURNAL_SUFFIXES) and "://" not in text:
        text = JOURNAL + text
    for scheme in (JOURNAL, SQLITE):
        if text.startswith(scheme):
            path = text.removeprefix(scheme)
            if scheme == SQLITE and (path.startswith("file:") or path in ("", ":memory:")):
                return text
            path = os.path.abspath(os.path.expanduser(path))
            require_folder(os.path.dirname(path.partition("?")[0]), text, key)
            return scheme + path
    if "://" not in text:
        raise ConfigError(
            f"{key} must be a URL, got {text!r}. Examples: sqlite:///study.db, "
            "journal://study.journal, postgresql://user@host/database; null keeps it in memory."
        )
    return text


def require_reachable(url: Any, key: str) -> None:
    """Refuse a storage in the memory of this process for jobs that run in others.

    Args:
        url: from `resolve_storage`; None is fine, since jobs then get a journal file.

    Raises:
        ConfigError: saying which storages they reach.
    """
    in_memory = isinstance(url, optuna.storages.InMemoryStorage)
    if in_memory or (isinstance(url, str) and url.startswith(SQLITE) and is_memory(url)):
        raise ConfigError(
            f"{key} must be one that other processes reach, got one in memory. For jobs on this "
            "machine or in a shared folder: journal://study.journal (null makes such a file for "
            "the time of the search); for any machine: postgresql://user@host/database."
        )


def is_memory(url: str) -> bool:
    """Whether the SQLite at `url` is one in memory."""
    path = url.removeprefix(SQLITE)
    return path in ("", ":memory:") or "mode=memory" in path


def require_folder(folder: str, url: str, key: str) -> None:
    """Refuse a missing folder. It may be mistyped, and a new study in it would start over."""
    if not os.path.isdir(folder):
        raise ConfigError(
            f"{key} must be a file in a folder that exists, got {url!r}. "
            f"Make the folder first: mkdir -p {shlex.quote(folder)}"
        )


def open_storage(url: str | BaseStorage | None, key: str = "storage") -> BaseStorage:
    """The storage at `url` (from `resolve_storage`); a file is made if there is none.

    Raises:
        ConfigError: if it cannot be reached or opened.
    """
    if url is None:
        return optuna.storages.InMemoryStorage()
    if isinstance(url, BaseStorage):
        return url
    try:
        if url.startswith(JOURNAL):
            return JournalStorage(JournalFileBackend(url.removeprefix(JOURNAL)))
        if url.startswith(SQLITE):
            # Trials in other processes write too: wait for the lock instead of failing.
            return RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}})
        return RDBStorage(url)
    except Exception as error:  # each database driver has its own types
        text = first_line(error)
        raise ConfigError(
            f"{key} must be a storage that can be opened, got {redact(url)!r} "
            f"({type(error).__name__}: {redact(text)})."
        ) from error


def redact(text: str) -> str:
    """`text` with the passwords of URLs replaced by ***."""
    return re.sub(r"(://[^/:@\s]*):[^/@\s]*@", r"\1:***@", text)
