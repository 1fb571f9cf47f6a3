"""Objects of a user's Python config (a lambda, a function, a class), by file and name."""

from pathlib import Path
from typing import Any

from pochitrain.config.target_allowlist import TrustedFiles
from pochitrain.error import ConfigError


def load_reference(file: str, attribute: str) -> Any:
    """The object `attribute` of a Python config.

    Args:
        file: absolute path of the file.
        attribute: a name in the file, or a path such as train_transform.transforms[0].lambd.

    Raises:
        ConfigError: if the person did not give the file with `--config` on this command line.
    """
    trusted = TrustedFiles.instance().resolvers
    if file not in trusted and not Path(file).exists():  # run and file have moved since
        file = next((path for path in trusted if Path(path).name == Path(file).name), file)
    resolve = trusted.get(file)
    if resolve is None:
        raise ConfigError(
            f"The transform uses {attribute!r} of the Python file {file!r}, which is code and runs "
            f"only where the command says --config {file}. To do without the file, move "
            "the code into a module that can be imported, say `_target_: mymodule.name` in the "
            "transform, and allow it with 'allow_targets=[mymodule.*]'."
        )
    return resolve(file, attribute)
