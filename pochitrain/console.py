"""The terminal that every command prints to."""

from typing import Any

from rich.console import Console
from rich.text import Text

from pochitrain.text import printable


class PrintableConsole(Console):
    """Prints control characters, including those in table cells, as escapes (`\\x1b`)."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Convert markup as rich does, after escaping control characters."""
        return super().render_str(printable(text), **options)


def open_console() -> Console:
    """A console on standard output that neither wraps lines nor replaces emoji codes."""
    return PrintableConsole(highlight=False, soft_wrap=True, emoji=False)
