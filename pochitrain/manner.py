"""How this command talks: quietly, in JSON for programs, in the letters that the terminal has."""

import codecs
import io
import json
import math
import sys
from typing import Any, TextIO

PLAIN = {
    "±": "+/-",
    "×": "x",
    "÷": "/",
    "−": "-",
    "–": "-",
    "—": "-",
    "‐": "-",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "…": "...",
    "→": "->",
    "←": "<-",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "≈": "~",
    "°": " deg",
    "µ": "u",
    "μ": "u",
    "·": ".",
    "•": "*",
    "█": "#",
    "━": "-",
    "\u00a0": " ",
}
"""What stands for a character that a terminal cannot show. Letters become escapes (`\\u65e5`)."""

ERRORS = "pochitrain.plain"
"""Name of the handler of characters that cannot be encoded."""


class Manner:
    """State of the process."""

    quiet = False
    document: TextIO | None = None
    """Where the JSON document goes; None where the result is text."""


def plain_characters(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that cannot be encoded; see `codecs.register_error`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(PLAIN.get(letter, escape(letter)) for letter in letters), error.end


def escape(letter: str) -> str:
    return letter.encode("ascii", "backslashreplace").decode("ascii")


def prepare_streams() -> None:
    """Let standard output and error replace what they cannot encode, instead of failing."""
    codecs.register_error(ERRORS, plain_characters)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ERRORS)


def be_quiet() -> None:
    """From now on print nothing but errors, warnings and the result."""
    Manner.quiet = True


def is_quiet() -> bool:
    return Manner.quiet


def answer_in_json() -> None:
    """From now on nothing but `print_json` goes to standard output."""
    if Manner.document is None:
        Manner.document = sys.stdout
        sys.stdout = sys.stderr


def is_json() -> bool:
    """Whether the result is to be one JSON document."""
    return Manner.document is not None


def forget_manner() -> None:
    """Talk as usual again."""
    Manner.quiet = False
    if Manner.document is not None:
        sys.stdout, Manner.document = Manner.document, None


def print_json(content: Any) -> None:
    """Print the document if the answer is to be JSON.

    NaN and infinity become null; a terminal that cannot show all letters gets ASCII.
    """
    stream = Manner.document
    if stream is None:
        return
    is_unicode = (getattr(stream, "encoding", None) or "utf-8").lower().startswith("utf")
    text = json.dumps(without_nan(content), indent=2, ensure_ascii=not is_unicode, allow_nan=False)
    stream.write(text + "\n")
    stream.flush()


def without_nan(value: Any) -> Any:
    """`value` with None for the numbers in it, at any depth, that are not finite."""
    if isinstance(value, dict):
        return {key: without_nan(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
