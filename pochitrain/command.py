"""The command line as it was typed; sys.argv is the one that Hydra sees."""

import os
import sys

program: list[str] = []
"""Words that start the command: `python train.py`, `pochi train`, `uv run pochi optimize`."""
words: list[str] = []
"""What follows them."""


def remember_command(prog: str, argv: list[str]) -> None:
    """Keep the command line for messages.

    Args:
        argv: begins with the subcommand.
    """
    script = prog.endswith(".py")
    launcher = ["uv", "run"] if "UV" in os.environ else []
    program[:] = [*launcher, *(["python", prog] if script else [prog, *argv[:1]])]
    words[:] = argv[1:]


def typed_command() -> tuple[list[str], list[str]]:
    """(program, words); in a process that a sweep started, what that one was started with."""
    return (program, words) if program else (["python", sys.argv[0]], sys.argv[1:])
