"""Locations of the shipped config, run directories and the cache."""

import os
import re
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryFile

from pochitrain.error import ConfigError

PACKAGE = Path(__file__).resolve().parent


def config_directory() -> Path:
    """The shipped conf tree: inside the package in a wheel, beside it in a checkout."""
    inside = PACKAGE / "conf"
    return inside if inside.is_dir() else PACKAGE.parent / "conf"


def cache_directory() -> Path:
    """Our folder below the user's cache directory (XDG base directory specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "pochitrain"


def make_run_directory(work_dir: str | Path, today: datetime | None = None) -> Path:
    """Make the next free `<work_dir>/YYYYMMDD_NNN`. Safe if several processes do so at once.

    Raises:
        ConfigError: if the parent cannot be made or written to.
    """
    parent = Path(work_dir)
    day = (today or datetime.now()).strftime("%Y%m%d")
    pattern = re.compile(rf"{day}_(\d{{3,}})")
    try:
        parent.mkdir(parents=True, exist_ok=True)
        taken = [int(m[1]) for p in parent.iterdir() if (m := pattern.fullmatch(p.name))]
        number = max(taken, default=0) + 1
        while True:
            path = parent / f"{day}_{number:03d}"
            try:
                path.mkdir()
                return path
            except FileExistsError:
                number += 1
    except OSError as error:
        raise ConfigError(
            f"work_dir must be a directory that can be written to, got {str(work_dir)!r} "
            f"({error.strerror}). Choose another with work_dir=..."
        ) from error


def make_numbered_directory(parent: Path, name: str, digits: int = 1) -> Path:
    """Make `parent/name`, or the first free of `name_2`, `name_3`, ... where that exists.

    Args:
        digits: minimum number of digits; 3 gives `name_002`.

    Raises:
        OSError: if it cannot be made.
    """
    number = 1
    while True:
        path = parent / (name if number == 1 else f"{name}_{number:0{digits}d}")
        try:
            path.mkdir()
            return path
        except FileExistsError:
            number += 1


def list_folders(parent: Path) -> list[Path]:
    """Folders below `parent`, newest name first; numbers count as numbers."""
    if not parent.is_dir():
        return []

    def order(path: Path) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdigit() else (0, part) for part in split(path.name)]

    def split(name: str) -> list[str]:
        return [part for part in re.split(r"(\d+)", name) if part]

    return sorted((path for path in parent.iterdir() if path.is_dir()), key=order, reverse=True)


def require_new_directory(path: Path) -> Path:
    """Make `path`, which must not hold a run yet.

    Raises:
        ConfigError: if it holds one, cannot be made, or cannot be written to.
    """
    if (path / "models").exists():
        raise ConfigError(
            f"hydra run directory must be new, got {str(path)!r}, which holds a run. "
            f"To continue it use resume={path}."
        )
    try:
        path.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise ConfigError(not_a_run_directory("hydra.run.dir", str(path), error)) from None


def not_a_run_directory(key: str, path: str, error: OSError) -> str:
    """The message for a directory, given by `key`, that cannot be made or written to."""
    return (
        f"{key} must be a directory that can be made and written to, got {path!r} "
        f"({error.strerror}). Choose another with {key}=..."
    )
