"""`pochi migrate`: write a Python config as a Hydra experiment in YAML."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path

from pochitrain.error import ConfigError
from pochitrain.legacy.read import read_python_config
from pochitrain.legacy.translate import flat_optuna, translate
from pochitrain.legacy.write import write_selection
from pochitrain.paths import config_directory


@dataclass
class Migration:
    """The result of `migrate`."""

    output: Path
    command: str
    """The command that trains from the written file."""
    warnings: list[str] = field(default_factory=list)
    not_portable: list[str] = field(default_factory=list)
    """Names of objects that exist only in the Python file."""
    helpers: list[str] = field(default_factory=list)
    """Helper variables of the file, which are not settings."""


def migrate(source: Path, output: Path, overwrite: bool = False) -> Migration:
    """Execute `source` and write what it configures to `output`.

    Search settings at the top level, which training refuses, are moved into `optuna`.

    Raises:
        ConfigError: if the file is wrong, or the output exists and `overwrite` is false.
    """
    if output.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"--output must be a .yaml file, got {str(output)!r}.")
    if output.exists() and not overwrite:
        raise ConfigError(f"--output must be a new file, got {str(output)!r}. Add --overwrite.")
    config = read_python_config(source, "FILE")
    flat = flat_optuna(config)
    if flat:
        nested = config.settings.get("optuna")
        config.settings["optuna"] = {**(nested if isinstance(nested, dict) else {}), **flat}
        config.helpers += flat
    translation = translate(config)
    note = f"Migrated from {source.name}.\n{train_command(output)}"
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_selection(translation.selection, output, note)
    except OSError as error:
        raise ConfigError(
            f"--output must be a file that can be written, got {str(output)!r} ({error.strerror})."
        ) from None
    return Migration(
        output,
        train_command(output),
        translation.warnings + [f"{name} was moved into optuna." for name in flat],
        [attribute for _, attribute in translation.references],
        [name for name in config.helpers if name not in flat],
    )


def train_command(output: Path) -> str:
    """The command that trains from an experiment file at `output`, for the current folder."""
    shipped = config_directory()
    in_clone = shipped == Path("conf").resolve()
    program = "python train.py" if in_clone else "pochi train"
    choice = shlex.quote(f"experiment={output.stem}")
    folder = output.resolve().parent
    if folder.name != "experiment":
        where = "" if in_clone else "--config-dir conf "
        return f"{program} {where}{choice}  (move it to conf/experiment first)"
    if folder == shipped / "experiment":
        return f"{program} {choice}"
    parent = output.parent.parent if output.parent.name else folder.parent
    return f"{program} --config-dir {shlex.quote(str(parent))} {choice}"
