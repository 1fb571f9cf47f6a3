"""The small pieces of text that messages, commands and files are made of."""

import csv
import difflib
import json
import re
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any


def first_line(error: object) -> str:
    """The first line of a message that is not blank; the name of its type where there is none."""
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__)


def did_you_mean(
    word: object, choices: Iterable[str], form: str = "{}", *, cutoff: float = 0.6
) -> str:
    """`" Did you mean X?"` with the choice that is nearest to `word`, or nothing.

    Args:
        form: how the choice is shown, with `{}` for it (`"scheduler.{}"`).
        cutoff: 0 (anything) to 1 (equal), as in difflib.
    """
    close = difflib.get_close_matches(str(word), list(choices), n=1, cutoff=cutoff)
    return f" Did you mean {form.format(close[0])}?" if close else ""


def shorten_list(names: Sequence[str], limit: int = 20) -> str:
    """`names` joined by commas; where there are more than `limit`, the rest is counted."""
    text = ", ".join(names[:limit])
    return text if len(names) <= limit else f"{text} and {len(names) - limit} more"


UNSAFE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)
"""Control characters (but tab and line feed), and those that turn the direction of the text."""


def printable(text: object) -> str:
    """`text` for a terminal: escape sequences and the like are shown (`\\x1b`), not obeyed.

    Names of classes and files come from anywhere; one could clear the screen, write another line
    over ours, or read backwards.
    """
    return UNSAFE.sub(lambda found: ascii(found[0])[1:-1], str(text))


def format_csv(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """CSV text (RFC 4180 with line feeds). Floats keep every digit; None is an empty cell.

    Text that a spreadsheet would run as a formula is protected; see `protect_cell`.
    """
    lines: list[str] = []
    # The module quotes a cell with a carriage return only where that is part of a line's end.
    writer = csv.writer(SimpleNamespace(write=lines.append), lineterminator="\r\n")
    writer.writerows([format_cell(cell) for cell in row] for row in (header, *rows))
    return "".join(line.removesuffix("\r\n") + "\n" for line in lines)


def format_cell(cell: object) -> object:
    if isinstance(cell, float):
        return repr(cell)
    return protect_cell(cell) if isinstance(cell, str) else cell


FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
"""What starts a formula in a spreadsheet (OWASP, "CSV injection"), or such text protected."""
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)


def protect_cell(text: str) -> str:
    """`text` with an apostrophe in front where a spreadsheet would take it for a formula.

    Numbers stay numbers. `restore_cell` gives back every text exactly.
    """
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def restore_cell(cell: str) -> str:
    """The text that `protect_cell` made `cell` of."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def format_json(content: Any) -> str:
    """JSON text for people and programs.

    Raises:
        ValueError: for NaN and infinity, which JSON does not have.
    """
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def quote_override(text: str) -> str:
    """`text` as one string in Hydra's override grammar, without quotes where none are needed."""
    bare = re.fullmatch(r"[A-Za-z0-9_/.+-]([A-Za-z0-9_/.+ -]*[A-Za-z0-9_/.+-])?", text)
    if bare and not is_literal(text):
        return text
    # Inside quotes only a backslash that precedes a quote is special.
    escaped = re.sub(r"(\\*)'", lambda found: found[1] * 2 + "\\'", text)
    escaped += "\\" * (len(escaped) - len(escaped.rstrip("\\")))
    return f"'{escaped}'"


def is_literal(text: str) -> bool:
    """Whether Hydra reads the bare word as something else than a string."""
    if text.lower() in ("null", "true", "false"):
        return True
    try:
        float(text.replace("_", ""))
    except ValueError:
        return False
    return True


def escape_interpolations(value: Any) -> Any:
    """`value` with `${` in its texts made literal for OmegaConf.

    Backslashes in front of it would escape the escape, so they are doubled.
    """
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", str(value))
    if isinstance(value, dict):
        return {key: escape_interpolations(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [escape_interpolations(entry) for entry in value]
    return value
