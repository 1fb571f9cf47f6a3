"""Storage of a study: in memory, a journal file, a database, or a proxy before a database."""

import os
import shlex
from typing import Any

import optuna
from optuna.storages import BaseStorage

from pochitrain.error import ConfigError
from pochitrain.sweep.journal import open_journal
from pochitrain.sweep.password import hide_password, redact
from pochitrain.sweep.patience import PatientStorage

JOURNAL = "journal://"
SQLITE = "sqlite:///"
GRPC = "grpc://"
JOURNAL_SUFFIXES = (".journal", ".log", ".jsonl")


def resolve_storage(url: Any, key: str = "storage") -> Any:
    """`url` with absolute paths, for jobs that run in other folders; None = in memory.

    A password in it is replaced by *** (see `sweep.password`). An Optuna storage object is returned
    unchanged.

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
    return hide_password(text)


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


def open_storage(
    url: str | BaseStorage | None, key: str = "storage", is_job: bool = False
) -> BaseStorage:
    """The storage at `url` (from `resolve_storage`); files and tables are made if there are none.

    What is stored is asked again when it does not answer (`sweep.patience`).

    Args:
        is_job: opened by a job of a search that has opened it already.

    Raises:
        ConfigError: if it cannot be reached or opened.
    """
    if url is None:
        return optuna.storages.InMemoryStorage()
    if isinstance(url, BaseStorage):
        return url
    storage: BaseStorage = PatientStorage(open_backend(url, key, is_job), redact(url))
    return storage


def open_backend(url: str, key: str, is_job: bool) -> BaseStorage:
    """The storage at `url`, as Optuna has it."""
    if url.startswith(JOURNAL):
        return open_journal(url.removeprefix(JOURNAL), url, key)
    if url.startswith(GRPC):
        from pochitrain.sweep.proxy_client import connect_proxy

        return connect_proxy(url, key)
    from pochitrain.sweep.database import open_database

    # get_storage puts the cache of finished trials before it.
    return optuna.storages.get_storage(open_database(url, key, is_job))
