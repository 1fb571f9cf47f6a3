"""`--config FILE.py`: remove the flag from the command line and register the file's options.

Hydra must not see the flag: its parser takes `--config` for an abbreviation of `--config-path`.
"""

import glob
import os
import re
import shlex
import sys
from pathlib import Path

from pochitrain.error import ConfigError

FLAG = "--config"
SHELL_WORD = r"""(?:[^\s"'\\]|\\.|"[^"]*"|'[^']*')+"""
"""A word on a command line, possibly quoted."""


def use_config_flag(argv: list[str]) -> list[str]:
    """`argv` with `--config FILE` replaced by the override that selects the file, in front.

    The file is executed, except for shell completion, which uses only its plain literals.

    Raises:
        ConfigError: if the flag has no file or is given twice, or the file is wrong.
    """
    from pochitrain.legacy.reference import trust_nothing

    trust_nothing()
    if is_completion(argv):
        prepare_completion()
        return argv
    rest, files = split_flag(argv)
    if not files:
        return rest
    if len(files) > 1:
        raise ConfigError(f"--config must be given once, got {' and '.join(files)}.")
    from pochitrain.legacy.register import SELECT, use_config_file

    for text in use_config_file(files[0]).warnings:
        print(f"Warning: {files[0]}: {text}", file=sys.stderr)
    return [SELECT, *rest]


def split_flag(argv: list[str]) -> tuple[list[str], list[str]]:
    """The other arguments, and the files given with the flag.

    Raises:
        ConfigError: if the flag is not followed by a file.
    """
    rest, files = [], []
    words = iter(argv)
    for word in words:
        if word == FLAG:
            file = next(words, None)
            files.append("" if file is None or file.startswith("-") else file)
        elif word.startswith(f"{FLAG}="):
            files.append(word.removeprefix(f"{FLAG}="))
        else:
            rest.append(word)
    if "" in files:
        raise ConfigError("--config must be followed by a Python file, got nothing.")
    return rest, files


def is_completion(argv: list[str]) -> bool:
    return bool({"-sc", "--shell-completion"} & set(argv)) and "COMP_LINE" in os.environ


def prepare_completion() -> None:
    """Replace `--config FILE` in COMP_LINE by an override, which Hydra can complete.

    If the file name itself is being typed, print the files that match and exit.
    """
    line = re.sub(r"^(\S*pochi)\s+(train|optimize|lr)\b", r"\1", os.environ["COMP_LINE"])
    if re.match(r"\S*pochi\s+[a-z]+\s", line):
        sys.exit(0)  # a command without overrides
    typing = re.search(rf"\s{FLAG}(=|\s+)(\S*)$", line)
    if typing:
        print(" ".join(complete_file(typing[2])))
        sys.exit(0)
    given = re.search(rf"\s{FLAG}(=|\s+)({SHELL_WORD})(?=\s)", line)
    if given:
        file = shlex.split(given[2])[0]
        line = line.replace(given[0], select_from_literals(file), 1)
    os.environ["COMP_LINE"] = line


def complete_file(word: str) -> list[str]:
    """Python files and folders whose path starts with `word`; folders end in a slash."""
    found = [Path(name) for name in sorted(glob.glob(f"{glob.escape(word)}*"))]
    return [f"{path}/" if path.is_dir() else str(path) for path in found if shows(path)]


def shows(path: Path) -> bool:
    return path.suffix == ".py" or path.is_dir()


def select_from_literals(file: str) -> str:
    """The override that selects a file, read without executing it; "" if it cannot be read."""
    from pochitrain.legacy.read import read_literals
    from pochitrain.legacy.register import SELECT, register_selection
    from pochitrain.legacy.translate import translate

    try:
        register_selection(translate(read_literals(file)).selection)
    except ConfigError:
        return ""
    return f" {SELECT}"
