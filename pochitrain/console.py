"""The terminal that every command prints to."""

from typing import Any

from rich.console import Console
from rich.text import Text

from pochitrain.text import printable


class PrintableConsole(Console):
    """Shows the control characters of what it prints, also of table cells, as `\\x1b`."""

    def render_str(self, text: str, **options: Any) -> Text:
        """As in rich."""
        return super().render_str(printable(text), **options)


def open_console() -> Console:
    """A console on standard output that breaks no lines and changes no text (`:cat:` stays)."""
    return PrintableConsole(highlight=False, soft_wrap=True, emoji=False)
