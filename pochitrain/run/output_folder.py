"""The folder that an inference writes to."""

import os
from pathlib import Path

from pochitrain.error import ConfigError
from pochitrain.inference.classifier import Classifier
from pochitrain.paths import make_numbered_directory


def make_output(output: str | None, classifier: Classifier) -> Path:
    """Make the folder of this inference: `--output`, or the next free `inference[_N]` of the run.

    Raises:
        ConfigError: if that is not possible.
    """
    try:
        if output is not None:
            folder = Path(output)
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        return make_numbered_directory(run_folder(classifier), "inference")
    except OSError as error:
        raise ConfigError(not_writable(str(error.filename), str(error.strerror))) from error


def require_writable(output: str | None, classifier: Classifier, *, is_needed: bool) -> None:
    """Refuse a folder that `make_output` could not make, before the inference starts.

    Args:
        is_needed: whether there will be files also without `output`.

    Raises:
        ConfigError: naming it.
    """
    if output is None:
        if is_needed:
            require_folder(run_folder(classifier))
        return
    folder = Path(output).absolute()
    while not os.path.lexists(folder):
        folder = folder.parent
    require_folder(folder)


def require_folder(folder: Path) -> None:
    """Check that files can be written in `folder`.

    Raises:
        ConfigError: if not.
    """
    if not folder.is_dir():
        raise ConfigError(not_writable(str(folder), "Not a directory"))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(not_writable(str(folder), "Permission denied"))


def not_writable(path: str, reason: str) -> str:
    """The message for an output folder that cannot be used."""
    return (
        f"--output must be a folder that can be written to ({reason}: {path!r}). Choose another "
        "with --output DIR."
    )


def run_folder(classifier: Classifier) -> Path:
    """The run directory of a checkpoint; the folder of any other model file."""
    home = classifier.source.parent
    return home.parent if home.name == "models" else home
