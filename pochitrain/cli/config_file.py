"""`--config FILE.py`: takes the words off the command line and registers the file's options.

Hydra must not see them: argparse takes `--config` for a prefix of its own `--config-path`.
"""

import sys

from pochitrain.error import ConfigError

FLAG = "--config"


def use_config_flag(argv: list[str]) -> list[str]:
    """`argv` without `--config FILE`, the override that selects the file in front.

    This is the only place from which a Python config is executed. Shell completion does not execute
    it; it completes with what the file says in plain literals.

    Raises:
        ConfigError: if the flag has no file or stands there twice, or the file is wrong.
    """
    from pochitrain.legacy.reference import trust_nothing

    trust_nothing()
    rest, files = split_flag(argv)
    if is_completion(argv):
        return rest
    if not files:
        return rest
    if len(files) > 1:
        raise ConfigError(f"--config must be given once, got {' and '.join(files)}.")
    from pochitrain.legacy.register import SELECT, use_config_file

    for text in use_config_file(files[0]).warnings:
        print(f"Warning: {files[0]}: {text}", file=sys.stderr)
    return [SELECT, *rest]


def split_flag(argv: list[str]) -> tuple[list[str], list[str]]:
    """The other words, and the files that follow the flag.

    Raises:
        ConfigError: if no file follows.
    """
    rest, files = [], []
    words = iter(argv)
    for word in words:
        if word == FLAG:
            file = next(words, None)
            if file is None or file.startswith("-"):
                raise ConfigError("--config must be followed by a Python file, got nothing.")
            files.append(file)
        elif word.startswith(f"{FLAG}="):
            files.append(word.removeprefix(f"{FLAG}="))
        else:
            rest.append(word)
    return rest, files
