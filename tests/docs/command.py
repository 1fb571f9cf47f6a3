"""The commands in the documentation: what a reader would type, and of which kind each is."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from page import Block, blocks_of

from pochitrain.cli.main import COMMANDS

SHELL = ("bash", "sh", "shell", "console")
ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")
ELSEWHERE = {
    "apt-get": "changes the system",
    "curl": "asks a service that another command keeps running",
    "docker": "needs Docker",
    "git": "clones from the network",
    "cd": "moves into a clone",
    "mkdir": "of the shell",
    "rm": "deletes files of the person",
    "ls": "shows files",
    "unzip": "of the shell",
    "source": "of a virtual environment",
    "python3 -m venv": "makes a virtual environment",
    "jq": "reads what a command of ours prints",
    "pytest": "the tests themselves",
    "sudo": "sets up a database",
    "optuna-dashboard": "a server of another package",
    "ray": "a cluster",
    "sbatch": "a cluster",
    "tensorboard": "a server of another package",
    "mkdocs": "builds the site, which CI does with --strict",
    "gunzip": "of the shell",
    "export": "sets a variable of the shell",
}
"""Commands that no test runs or parses, and why."""
LAUNCHERS = ("torchrun", "srun", "mpirun", "accelerate")
"""Programs that start others; what they start is checked, their own flags are not."""


@dataclass(frozen=True)
class Command:
    """A command that belongs to pochitrain.

    Attributes:
        kind: a subcommand of `pochi`, `script`, or `install` (words are then extras and groups).
        words: what follows, as in sys.argv.
    """

    kind: str
    words: tuple[str, ...]
    line: str


def commands_of(page: Path) -> Iterator[Command]:
    """The commands in the blocks of a page, in order."""
    for block in blocks_of(page):
        if block.language in SHELL:
            for line in lines_of(block.text):
                yield from read_line(line)


def lines_of(text: str) -> Iterator[str]:
    """The lines of a script, with continued ones joined."""
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        if line.strip():
            yield line.strip()


def read_line(line: str) -> Iterator[Command]:
    """The commands of a line.

    Raises:
        ValueError: for one that is of no known kind.
    """
    inner = re.fullmatch(r'eval "\$\((.*)\)"\s*(#.*)?', line)
    if inner:
        yield from read_line(inner[1])
        return
    words = shlex.split(line.removeprefix("$ "), comments=True)
    while words:
        ends = [i for i, word in enumerate(words) if word in ("&&", "|")]
        end = ends[0] if ends else len(words)
        first = [word.strip("()") if word in ("(", ")") else word for word in words[:end]]
        yield from read_words([word for word in first if word], line)
        words = words[end + 1 :]


def read_words(words: list[str], line: str) -> Iterator[Command]:
    while words and ASSIGNMENT.fullmatch(words[0]):
        words = words[1:]
    if not words or any(" ".join(words).startswith(f"{name} ") for name in ELSEWHERE):
        return
    program, rest = Path(words[0]).name, words[1:]
    if program in LAUNCHERS:
        starts = [i for i, word in enumerate(words) if word in ("python", "pochi", "train.py")]
        if not starts:
            raise ValueError(f"{line}: {program} starts nothing of ours")
        yield from read_words(words[starts[0] :], line)
    elif program == "uv" and rest[:1] == ["run"]:
        yield from read_uv(rest[1:], line)
    elif program in ("pip", "uv"):
        yield Command("install", tuple(extras_of(rest)), line)
    elif program == "python" and rest[:1] == ["train.py"]:
        yield Command("train", tuple(rest[1:]), line)
    elif program == "train.py":
        yield Command("train", tuple(rest), line)
    elif program == "python" and rest[:1] and rest[0].startswith("scripts/"):
        yield Command("script", tuple(rest), line)
    elif program == "python" and rest[:2] == ["-m", "pochitrain.sweep.proxy"]:
        yield Command("script", ("pochitrain/sweep/proxy.py", *rest[2:]), line)
    elif program == "pochi" and rest[:1] and rest[0] in COMMANDS:
        yield Command(rest[0], tuple(rest[1:]), line)
    elif program == "pochi" and rest in (["--version"], ["--help"]):
        yield Command("", tuple(rest), line)
    elif program != "pytest":
        raise ValueError(f"{line}: no test knows what to do with it (tests/docs/command.py)")


def read_uv(words: list[str], line: str) -> Iterator[Command]:
    """`uv run [--extra NAME] [--group NAME] PROGRAM ...`"""
    flags: list[str] = []
    while words and words[0].startswith("--"):
        flags += words[:1] if words[0] == "--no-sync" else words[:2]
        words = words[1:] if words[0] == "--no-sync" else words[2:]
    yield Command("install", tuple(extras_of(flags)), line)
    yield from read_words(words, line)


def extras_of(words: list[str]) -> Iterator[str]:
    """Names of extras and groups of pochitrain in the words of pip or uv."""
    for flag, value in pairwise([*words, ""]):
        if flag in ("--extra", "--group"):
            yield value
        found = re.search(r"(?:pochitrain|\.whl|\.)\[([\w,]+)\]", flag)
        yield from found[1].split(",") if found else ()


def file_of(block: Block) -> str | None:
    """The file that a block shows: named in its first line or in the sentence before it."""
    first = block.text.partition("\n")[0]
    named = re.fullmatch(r"# ([\w/.-]+\.(?:yaml|py))", first)
    if named:
        return named[1]
    found = re.findall(r"`((?:conf/)?[\w/.-]+\.(?:yaml|py|csv))`", block.before)
    return found[-1] if found and block.language in ("python", "yaml") else None
