"""Where a search keeps its trials and results."""

from pathlib import Path

from omegaconf import DictConfig
from optuna.study import Study

from pochitrain.error import ConfigError
from pochitrain.paths import make_numbered_directory

NAME = "optuna_results"
RESULTS = "pochitrain:results"
"""User attribute of a study: its directory, so that a resumed search goes on in it."""


def search_directory(config: DictConfig, study: Study | None) -> Path:
    """The directory of this search: `hydra.sweep.dir` if given, the study's own, or a new one.

    Args:
        study: None for a search that cannot be resumed.

    Raises:
        ConfigError: cannot be made, or holds the trials of another study.
    """
    known = None if study is None else study.user_attrs.get(RESULTS)
    given = Path(config.hydra.sweep.dir)
    if given not in (Path(), Path(config.work_dir)):
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
    if study is not None:
        study.set_user_attr(RESULTS, str(path))
    return path


def make(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"The directory of the search must be one that can be made, got {str(path)!r} "
            f"({error.strerror})."
        ) from None


def make_next(parent: Path) -> Path:
    """`optuna_results`, or `optuna_results_002` and so on where it is taken."""
    make(parent)
    try:
        return make_numbered_directory(parent, NAME, digits=3)
    except OSError as error:
        raise ConfigError(
            f"work_dir must be a directory that can be written to, got {str(parent)!r} "
            f"({error.strerror})."
        ) from None
