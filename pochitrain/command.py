"""The command line as typed. sys.argv is not: it is rewritten for Hydra."""

import os
import sys
import time

program: list[str] = []
"""How the command starts: `python train.py`, `pochi train`, `uv run pochi optimize`."""
arguments: list[str] = []
"""The flags and overrides after it."""

start: list[float] = [time.monotonic()]
"""When the command began, in seconds of the monotonic clock."""


def remember_command(prog: str, argv: list[str]) -> None:
    """Keep the command line for messages.

    Args:
        prog: the script (`train.py`) or the command (`pochi`).
        argv: the arguments; those of `pochi` begin with the subcommand.
    """
    start[0] = time.monotonic()
    script = prog.endswith(".py")
    launcher = ["uv", "run"] if "UV" in os.environ else []
    program[:] = [*launcher, *(["python", prog] if script else [prog, *argv[:1]])]
    arguments[:] = argv[1:]


def typed_command() -> tuple[list[str], list[str]]:
    """(program, arguments) of this command; in a worker process, those of the worker itself."""
    return (program, arguments) if program else (["python", sys.argv[0]], sys.argv[1:])


def started_s() -> float:
    """When the command began, of time.monotonic."""
    return start[0]
