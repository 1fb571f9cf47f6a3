"""A PostgreSQL server of Debian's packages on loopback, in a temporary directory."""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

USER = "pochi"
DATABASE = "study"


def find_binaries() -> Path | None:
    """The folder with initdb and postgres of the newest version; None if there is none."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda path: int(path.parts[-3]) if path.parts[-3].isdigit() else 0,
    )
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


def unprivileged() -> dict[str, Any]:
    """Arguments of subprocess for a user other than root, as whom the server refuses to run."""
    if os.geteuid() != 0:
        return {}
    try:
        entry = pwd.getpwnam("postgres")
    except KeyError:
        entry = pwd.getpwnam("nobody")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


class PostgresServer:
    """A server with a user and a database; `stop` and `start` may be repeated."""

    def __init__(self, max_connections: int = 50) -> None:
        binaries = find_binaries()
        assert binaries is not None
        self.binaries = binaries
        self.max_connections = max_connections
        self.password = f"S3cret-{secrets.token_hex(6)}"
        self.folder = Path(tempfile.mkdtemp(prefix="pg"))
        self.process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        as_user = unprivileged()
        if as_user:
            os.chown(self.folder, as_user["user"], as_user["group"])
        (secret := self.folder / "password").write_text(self.password)
        secret.chmod(0o644)
        words = ["-D", "data", "-U", USER, "--pwfile=password", "--auth=scram-sha-256"]
        words += ["--encoding=UTF8", "--no-locale", "--no-sync"]
        initdb = [str(binaries / "initdb"), *words]
        subprocess.run(initdb, cwd=self.folder, check=True, capture_output=True, **as_user)
        self.start()
        self.execute(f"CREATE DATABASE {DATABASE}", database="postgres")

    @property
    def url(self) -> str:
        """The URL of the database, with the password."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{DATABASE}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
            "max_connections": self.max_connections,
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [str(self.binaries / "postgres"), "-D", "data", *words],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                **unprivileged(),
            )
        end = time.monotonic() + 120
        ready = [str(self.binaries / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(ready, capture_output=True, check=False).returncode != 0:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < end, "the server does not start"
            time.sleep(0.05)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT closes every connection at once, SIGQUIT is a crash."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(120)
            self.process = None

    def execute(self, sql: str, database: str = DATABASE) -> list[tuple[Any, ...]]:
        """Run a statement as the owner, and return its rows."""
        import psycopg

        with psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=USER,
            password=self.password,
            dbname=database,
            autocommit=True,
        ) as connection:
            cursor = connection.execute(sql)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def make_database(self, name: str) -> str:
        """A new empty database; its URL with the password."""
        self.execute(f"CREATE DATABASE {name}")
        return f"{self.url.rpartition('/')[0]}/{name}"

    def close(self) -> None:
        """Stop the server and remove its files."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)
