"""Text formatting for messages, command lines and files."""

import csv
import difflib
import json
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any


def first_line(error: object) -> str:
    """The first non-blank line of an error's message; the name of its type if there is none."""
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__)


def did_you_mean(
    word: object, choices: Iterable[str], form: str = "{}", *, cutoff: float = 0.6
) -> str:
    """`" Did you mean X?"` for the choice closest to `word`; an empty string if none is close.

    Among close choices one that begins with `word` is preferred: by letters `val_acc` is closer to
    `val_mcc` than to `val_accuracy`, but people abbreviate.

    Args:
        form: how the choice is shown, with `{}` for it (`"scheduler.{}"`).
        cutoff: 0 (anything) to 1 (equal), as in difflib.
    """
    close = difflib.get_close_matches(str(word), list(choices), n=5, cutoff=cutoff)
    close.sort(key=lambda choice: not choice.startswith(str(word)))  # stable: else by closeness
    return f" Did you mean {form.format(close[0])}?" if close else ""


def shorten_list(names: Sequence[str], limit: int = 20) -> str:
    """`names` joined by commas; beyond `limit`, only their number (`and 5 more`)."""
    text = ", ".join(names[:limit])
    return text if len(names) <= limit else f"{text} and {len(names) - limit} more"


def describe_time_left(left_s: float, now: datetime) -> str:
    """`about 12 min left (until 14:35)`: how long something will still take, and until when.

    Args:
        left_s: seconds.
        now: local time.
    """
    if left_s < 90:
        text = f"{max(1, round(left_s))} s"
    elif left_s < 90 * 60:
        text = f"{round(left_s / 60)} min"
    else:
        hours, minutes = divmod(round(left_s / 60), 60)
        text = f"{hours:,} h {minutes:02d} min"
    try:
        end = now + timedelta(seconds=left_s)
    except OverflowError:  # of years
        return f"about {text} left"
    clock = "%H:%M" if end.date() == now.date() else "%Y-%m-%d %H:%M"
    return f"about {text} left (until {end.strftime(clock)})"


UNSAFE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)
"""Control characters except tab and line feed, and those that change the text direction."""


def printable(text: object) -> str:
    """`text` with control characters replaced by visible escapes (`\\x1b`), for a terminal.

    Names of classes and files are untrusted: they could clear the screen, overwrite other lines or
    reverse the text.
    """
    return UNSAFE.sub(lambda found: ascii(found[0])[1:-1], str(text))


def format_csv(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """CSV text (RFC 4180 with line feeds). Floats keep every digit; None is an empty cell.

    Text that a spreadsheet would run as a formula is protected; see `protect_cell`.
    """
    lines: list[str] = []
    # csv quotes a cell with a carriage return only if the line terminator contains one.
    writer = csv.writer(SimpleNamespace(write=lines.append), lineterminator="\r\n")
    writer.writerows([format_cell(cell) for cell in row] for row in (header, *rows))
    return "".join(line.removesuffix("\r\n") + "\n" for line in lines)


def format_cell(cell: object) -> object:
    """A cell for csv.writer: floats with every digit, strings protected, the rest unchanged."""
    if isinstance(cell, float):
        return repr(cell)
    return protect_cell(cell) if isinstance(cell, str) else cell


FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
"""Text that a spreadsheet runs as a formula (OWASP, "CSV injection"), protected or not."""
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)


def protect_cell(text: str) -> str:
    """`text`, with an apostrophe in front if a spreadsheet would run it as a formula.

    Numbers are left alone. `restore_cell` is the exact inverse.
    """
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def restore_cell(cell: str) -> str:
    """The inverse of `protect_cell`."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file of ours; empty if it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def format_json(content: Any) -> str:
    """Indented JSON text, ending in a line feed.

    Raises:
        ValueError: for NaN and infinity, which JSON cannot represent.
    """
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def quote_override(text: str) -> str:
    """`text` as a string in Hydra's override grammar, quoted only if necessary."""
    bare = re.fullmatch(r"[A-Za-z0-9_/.+-]([A-Za-z0-9_/.+ -]*[A-Za-z0-9_/.+-])?", text)
    if bare and not is_literal(text):
        return text
    # Inside quotes, a backslash is special only in front of a quote.
    escaped = re.sub(r"(\\*)'", lambda found: found[1] * 2 + "\\'", text)
    escaped += "\\" * (len(escaped) - len(escaped.rstrip("\\")))
    return f"'{escaped}'"


def is_literal(text: str) -> bool:
    """Whether Hydra would read the unquoted `text` as null, a boolean or a number."""
    if text.lower() in ("null", "true", "false"):
        return True
    try:
        float(text.replace("_", ""))
    except ValueError:
        return False
    return True


def escape_interpolations(value: Any) -> Any:
    """`value` with `${` escaped in all its strings, so that OmegaConf takes them literally.

    Backslashes in front of `${` are doubled, or they would cancel the escape.
    """
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", str(value))
    if isinstance(value, dict):
        return {key: escape_interpolations(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [escape_interpolations(entry) for entry in value]
    return value
