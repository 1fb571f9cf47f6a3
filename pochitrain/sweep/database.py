"""Studies in a database: connections, the schema of the tables, and errors as one sentence."""

import logging
import random
import re
import time
import weakref
from importlib.util import find_spec
from typing import Any

import optuna
from optuna.storages import RDBStorage
from sqlalchemy import event
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import DBAPIError

from pochitrain.error import ConfigError
from pochitrain.sweep.password import password_of, redact
from pochitrain.sweep.patience import FIRST_PAUSE_S, LONGEST_PAUSE_S, PATIENCE_S, causes, log
from pochitrain.text import first_line

POSTGRESQL = ("postgresql", "postgres")
DRIVERS = ("psycopg", "psycopg2")
"""Drivers that `postgresql://` stands for, the preferred one first."""
INSTALL = "pip install 'pochitrain[postgresql]'"

CONNECT: dict[str, Any] = {
    "application_name": "pochitrain",  # in pg_stat_activity
    "connect_timeout": 10,
    # A server that vanishes without a word is noticed after a minute instead of two hours.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""Arguments of libpq, unless the URL has its own."""
POOL = {"pool_size": 1, "max_overflow": 4, "pool_timeout": 60}
"""A process keeps one connection. For a moment it may use a second, for its heartbeat."""

MADE_BY_ANOTHER = ("42P07", "42710", "23505")
"""SQLSTATE where another process makes the same tables: table, type, row exists already."""
BUSY = ("too many", "connection slots", "starting up", "shutting down")
"""In messages of a server that cannot take this connection now. PostgreSQL has no code for them in
the error of a connection."""


def open_database(url: str, key: str, is_job: bool) -> RDBStorage:
    """The storage at the SQLAlchemy `url`, whose tables are made if there are none.

    Args:
        url: from `resolve_storage`.
        key: config key of the setting, for messages.
        is_job: skip tables and checks, since the search that started this job has done them.

    Raises:
        ConfigError: if it cannot be reached or opened, or another Optuna made its tables.
    """
    plain, password = password_of(url)
    try:
        target = make_url(plain)
        options = engine_options(target, password)
        if password is not None and "password" not in options.get("connect_args", {}):
            target = target.set(password=password)
    except Exception as error:
        raise ConfigError(wrong_url(url, key, error)) from None
    text = target.set(drivername=driver_of(target, key)).render_as_string(hide_password=False)
    text = text.replace("{", "{{").replace("}", "}}")  # Optuna fills in templates
    began, pause = time.monotonic(), FIRST_PAUSE_S
    while True:
        try:
            storage = RDBStorage(
                text, options, skip_compatibility_check=True, skip_table_creation=is_job
            )
            break
        except Exception as error:
            limit = 10.0 if is_made_by_another(error) else PATIENCE_S * is_busy(error)
            if time.monotonic() - began + pause > limit:
                raise ConfigError(cannot_open(url, key, error)) from error
            if is_busy(error) and pause < 2 * FIRST_PAUSE_S:
                log.warning(f"The storage is busy ({server_text(error)}); waiting for it.")
        time.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(2 * pause, LONGEST_PAUSE_S)
    weakref.finalize(storage, storage.engine.dispose)  # tell the server that we leave
    if storage.engine.dialect.name == "sqlite":
        lock_at_once(storage.engine)
    if not is_job:
        check_schema(storage, url, key)
    return storage


def driver_of(target: URL, key: str) -> str:
    """`dialect+driver` for a URL; for `postgresql://` the driver that is installed.

    Raises:
        ConfigError: if none is.
    """
    dialect, plus, driver = target.drivername.partition("+")
    if dialect not in POSTGRESQL:
        return target.drivername
    found = [name for name in ([driver] if plus else DRIVERS) if find_spec(name) is not None]
    if not found:
        other = f", or write postgresql:// for {DRIVERS[0]}" if plus else ""
        install = f"pip install {driver}{other}" if plus and driver != DRIVERS[0] else INSTALL
        raise ConfigError(
            f"{key}={target.drivername}://... needs the package {driver or DRIVERS[0]}, which is "
            f"not installed. Type: {install}"
        )
    return f"postgresql+{found[0]}"


def engine_options(target: URL, password: str | None) -> dict[str, Any]:
    """Arguments of `sqlalchemy.create_engine` for a URL."""
    dialect = target.drivername.partition("+")[0]
    if dialect == "sqlite":
        # Trials in other processes write too: wait for the lock instead of failing.
        return {"connect_args": {"timeout": 60}}
    if dialect not in POSTGRESQL:
        return {"pool_pre_ping": True, **POOL}
    # SQLAlchemy's own messages would quote the statement with its values, over many lines.
    logging.getLogger("optuna.storages._rdb.storage").setLevel(logging.ERROR)
    connect = {name: value for name, value in CONNECT.items() if name not in target.query}
    if password is not None:
        connect["password"] = password
    return {"connect_args": connect, **POOL}


def lock_at_once(engine: Engine) -> None:
    """Let every transaction of SQLite lock the file from its beginning.

    It has no locks of rows, as Optuna assumes: two processes would read that a queued trial is
    free, and both run it.
    """

    def leave_begin_to_us(connection: Any, record: Any) -> None:
        connection.isolation_level = None

    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "connect", leave_begin_to_us)
    event.listen(engine, "begin", begin)
    engine.dispose()  # the connection that made the tables


def check_schema(storage: RDBStorage, url: str, key: str) -> None:
    """Refuse tables that another version of Optuna made.

    Raises:
        ConfigError: with the command that upgrades them, or the advice to upgrade Optuna.
    """
    found, needed = storage.get_current_version(), storage.get_head_version()
    if found == needed:
        return
    start = f"{key} must have tables of Optuna {optuna.__version__} (schema {needed}), got {found}"
    address = redact(storage.engine.url.render_as_string()) or url
    if found in storage.get_all_versions():
        raise ConfigError(
            f"{start}, of an older one. Make a backup, end all searches on it, and type: "
            f"optuna storage upgrade --storage '{address}'"
        )
    raise ConfigError(
        f"{start}, of a newer one. Use that version of Optuna here too (pip install -U optuna), or "
        "another database."
    )


def is_made_by_another(error: Exception) -> bool:
    """Whether making the tables failed since another process makes them just now."""
    for cause in causes(error):
        if isinstance(cause, DBAPIError):
            state = getattr(cause.orig, "sqlstate", None) or getattr(cause.orig, "pgcode", None)
            return state in MADE_BY_ANOTHER or "already exists" in str(cause.orig)
    return False


def is_busy(error: Exception) -> bool:
    """Whether the server is there, but cannot take a connection now."""
    return any(words in server_text(error) for words in BUSY)


def server_text(error: Exception) -> str:
    """What the server or its driver said, in one line and without the address."""
    *_, innermost = causes(error)
    text = first_line(innermost)
    return redact(re.sub(r"^connection failed: |connection to server at .*? failed: ", "", text))


def wrong_url(url: str, key: str, error: Exception) -> str:
    return (
        f"{key} must be a URL like postgresql://user@host:5432/database, got {redact(url)!r} "
        f"({redact(first_line(error))})."
    )


def cannot_open(url: str, key: str, error: Exception) -> str:
    """The message for a database that cannot be opened: what is wrong, and what helps."""
    text = server_text(error)
    seen = f"got {redact(url)!r} ({text})"
    target = make_url(password_of(url)[0])
    if target.drivername.partition("+")[0] not in POSTGRESQL:
        name = type(error).__name__
        return f"{key} must be a storage that can be opened, got {redact(url)!r} ({name}: {text})."
    address = f" -h {target.host} -p {target.port or 5432}" if target.host else ""
    if "no password supplied" in text or "authentication failed" in text:
        return (
            f"{key} must have a user and password that the server accepts, {seen}. Give the "
            "password in the environment variable PGPASSWORD or in ~/.pgpass; one in the URL needs "
            "%40 for @."
        )
    if "does not exist" in text and f'"{target.database}"' in text:
        return (
            f"{key} must name a database that exists, {seen}. Make it: createdb{address} "
            f"-U {target.username} {target.database}"
        )
    if is_busy(error):
        return (
            f"{key} must be a server with a free connection, {seen}. Raise max_connections of the "
            "server, or put the gRPC proxy or PgBouncer before it (docs/scaling.md)."
        )
    return (
        f"{key} must be a server that answers, {seen}. See whether it runs and lets this machine "
        f"in: pg_isready{address}"
    )
