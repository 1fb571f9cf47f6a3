"""Choosing, making and discarding the directory of a search."""

import shutil
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from pochitrain.error import ConfigError
from pochitrain.paths import make_numbered_directory

if TYPE_CHECKING:
    from optuna.study import Study

NAME = "optuna_results"
RESULTS = "pochitrain:results"
"""User attribute of a study with its directory, in which a resumed search continues."""
PATIENCE_S = 10.0
"""Seconds for which a search waits for the directory of a study that another has just made."""


def search_directory(config: DictConfig, study: "Study | None", is_new: bool = True) -> Path:
    """The directory of this search: `hydra.sweep.dir` if given, the study's own, or a new one.

    Several searches on a study share its directory, if it is in a folder that they share. A machine
    that does not see it has one of its own.

    Args:
        study: None for a search that cannot be resumed.
        is_new: whether this search has made the study.

    Raises:
        ConfigError: if it cannot be made, or holds the trials of another study.
    """
    known = known_directory(study, is_new)
    given = Path(config.hydra.sweep.dir)
    is_given = given not in (Path(), Path(config.work_dir))
    if is_given:
        path = Path.absolute(given)
        if str(path) != known and any(path.glob("trial_*")):
            raise ConfigError(
                f"hydra.sweep.dir must not hold trials of another search, got {str(given)!r}. "
                "Choose a new directory, or the storage and study_name of that search."
            )
        make(path)
    elif known is not None and Path(known).is_dir():
        return Path(known)
    else:
        path = make_next(Path(config.work_dir).absolute())
    if study is not None and str(path) != known:
        is_common = is_given or known is None
        study.set_user_attr(RESULTS if is_common else here(), str(path))
    return path


def here() -> str:
    """User attribute of a study with its directory on this machine."""
    return f"{RESULTS}:{socket.gethostname()}"


def known_directory(study: "Study | None", is_new: bool) -> str | None:
    """The directory that the study has, on this machine if it does not see the common one.

    The search that makes the study also makes the directory, for which the others wait a moment.
    """
    if study is None or is_new:
        return None
    end = time.monotonic() + PATIENCE_S
    while RESULTS not in study.user_attrs and time.monotonic() < end:
        time.sleep(0.1)
    known = study.user_attrs
    own: str | None = known.get(here())
    common: str | None = known.get(RESULTS)
    return own if own is not None and not (common and Path(common).is_dir()) else common


def make(path: Path) -> None:
    """Make a directory and its parents.

    Raises:
        ConfigError: if that is not possible.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"The directory of the search must be one that can be made, got {str(path)!r} "
            f"({error.strerror})."
        ) from None


def make_next(parent: Path) -> Path:
    """Make `optuna_results`, or the first free of `optuna_results_002`, ..., in `parent`."""
    make(parent)
    try:
        return make_numbered_directory(parent, NAME, digits=3)
    except OSError as error:
        raise ConfigError(
            f"work_dir must be a directory that can be written to, got {str(parent)!r} "
            f"({error.strerror})."
        ) from None


def missing_directories(path: Path) -> list[Path]:
    """`path` and its parents, as far as they do not exist, innermost first."""
    path = path.absolute()
    return [folder for folder in (path, *path.parents) if not folder.exists()]


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those of `folders` that are empty; they must be given innermost first."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            continue  # in use, or gone already


class ResultDirectory:
    """The directory of one search."""

    def __init__(self, config: DictConfig, study: "Study | None", is_new: bool = True) -> None:
        """Choose and make the directory (see `search_directory`).

        Raises:
            ConfigError: if it cannot be made, or holds the trials of another study.
        """
        given = Path(config.hydra.sweep.dir)
        self.missing = missing_directories(given)
        self.path = search_directory(config, study, is_new)
        self.is_new = not any(self.path.iterdir())

    def discard(self) -> None:
        """Remove the directory, unless it existed with content, and parents made for it."""
        if self.is_new:
            shutil.rmtree(self.path, ignore_errors=True)
            remove_empty(self.missing)
