"""Objects in a user's Python config (a lambda, a function, a class), by file and name."""

from pathlib import Path
from typing import Any

from pochitrain.config.target_allowlist import TrustedFiles
from pochitrain.error import ConfigError


def load_reference(file: str, attribute: str) -> Any:
    """The object at `attribute` in a Python config.

    Args:
        file: absolute path of the file.
        attribute: a name in the file, or a path such as train_transform.transforms[0].lambd.

    Raises:
        ConfigError: if this command line does not give the file with `--config`.
    """
    trusted = TrustedFiles.instance().resolvers
    if file not in trusted and not Path(file).exists():  # the file has moved since the run
        file = next((path for path in trusted if Path(path).name == Path(file).name), file)
    resolve = trusted.get(file)
    if resolve is None:
        raise ConfigError(
            f"The transform uses {attribute!r} of the Python file {file!r}, which is code and runs "
            f"only if the command has --config {file}. To do without the file, move "
            "the code into a module that can be imported, say `_target_: mymodule.name` in the "
            "transform, and allow it with 'allow_targets=[mymodule.*]'."
        )
    return resolve(file, attribute)
