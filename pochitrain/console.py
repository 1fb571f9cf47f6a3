"""The terminal that every command prints to."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from pochitrain.error import ReaderGone
from pochitrain.manner import is_json, is_quiet
from pochitrain.text import printable


class PrintableConsole(Console):
    """Prints control characters, including those in table cells, as escapes (`\\x1b`).

    Lines are not wrapped, emoji codes stay as they are, and with NO_COLOR there are no styles.
    With --quiet only `result` and `warn` print, with --json only `warn`.
    """

    def __init__(self, **options: Any) -> None:
        """Takes the options of rich's console; by default on standard output."""
        if os.environ.get("NO_COLOR"):
            options["color_system"] = None
        super().__init__(**{"highlight": False, "soft_wrap": True, "emoji": False, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        """Convert markup as rich does, after escaping control characters."""
        return super().render_str(printable(text), **options)

    def print(self, *objects: Any, **options: Any) -> None:
        if not is_quiet() and (self.stderr or not is_json()):
            super().print(*objects, **options)

    def result(self, *objects: Any, **options: Any) -> None:
        """Print what the command is for, also with --quiet."""
        if self.stderr or not is_json():
            super().print(*objects, **options)

    def written(self, folder: Path, names: Iterable[str]) -> None:
        """Say which files of `folder` were written; with --quiet only the folder."""
        self.result(f"Written to {folder}{'' if is_quiet() else ':'}", markup=False)
        self.print(f"  {'  '.join(names)}", markup=False)

    def warn(self, text: str) -> None:
        """Print a warning, also with --quiet."""
        super().print(text, style="yellow", markup=False)

    def on_broken_pipe(self) -> None:
        """What rich calls when nobody reads any more; by default it exits with code 1."""
        raise ReaderGone

    @property
    def is_redrawn(self) -> bool:
        """Whether lines can be replaced: on a terminal that is able to, unless quiet."""
        return self.is_terminal and not self.is_dumb_terminal and not is_quiet()


def open_console() -> PrintableConsole:
    """A console on standard output."""
    return PrintableConsole()
