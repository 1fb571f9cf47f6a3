"""Text that comes from anywhere: in CSV cells, and on the terminal."""

import csv
import io
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from pochitrain.console import PrintableConsole
from pochitrain.text import (
    describe_time_left,
    did_you_mean,
    format_csv,
    printable,
    protect_cell,
    restore_cell,
)

CELL = st.text(st.sampled_from("'=+-@\t\r＝1.5eE a赤\",\n"), max_size=6)


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize(
    "formula",
    ['=HYPERLINK("http://x";"y")', "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "＝1+1"],
)
def test_a_formula_is_text_in_every_cell(formula: str) -> None:
    header, row = read(format_csv(["class", formula], [[formula, "a"]]))
    assert header == ["class", f"'{formula}"]
    assert row == [f"'{formula}", "a"]


@pytest.mark.parametrize("number", ["-1", "+1.5", "-2e-05", "-.5", "12"])
def test_numbers_stay_numbers(number: str) -> None:
    assert read(format_csv(["a"], [[number]])) == [["a"], [number]]
    assert read(format_csv(["a"], [[float(number)]])) == [["a"], [repr(float(number))]]


@given(CELL, CELL)
def test_every_text_comes_back(text: str, other: str) -> None:
    assert restore_cell(protect_cell(text)) == text
    assert (protect_cell(text) == protect_cell(other)) == (text == other)
    ((cell, last),) = read(format_csv([text, "last"], []))
    assert restore_cell(cell) == text
    assert last == "last"


def test_an_ordinary_apostrophe_is_left_alone() -> None:
    assert protect_cell("'tis") == "'tis"
    assert restore_cell("'tis") == "'tis"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[2Jcat", r"\x1b[2Jcat"),
        ("\x9b31mcat", r"\x9b31mcat"),
        ("cat\rdog", r"cat\rdog"),
        ("cat\u202egod", r"cat\u202egod"),
        ("a\u2066b\x7f", r"a\u2066b\x7f"),
        ("赤 👩‍💻 é\tb\nc", "赤 👩‍💻 é\tb\nc"),
    ],
)
def test_what_a_terminal_would_obey_is_shown(raw: str, shown: str) -> None:
    assert printable(raw) == shown


def test_the_console_shows_it_in_lines_and_tables() -> None:
    stream = io.StringIO()
    console = PrintableConsole(
        file=stream, force_terminal=True, highlight=False, emoji=False, width=60
    )
    table = Table("name")
    table.add_row("\x1b]0;owned\x07:cat:")
    console.print("\x1b]0;owned\x07", markup=False)
    console.print("[bold]x[/bold] \x1b]0;owned\x07")
    console.print(table)
    assert "\x1b]" not in stream.getvalue()
    assert stream.getvalue().count(r"\x1b]0;owned\x07") == 3
    assert ":cat:" in stream.getvalue()


@pytest.mark.parametrize(
    ("word", "choices", "expected"),
    [
        ("val_acc", ["val_mcc", "val_accuracy"], " Did you mean val_accuracy?"),
        ("learning_rat", ["learning_rate", "epochs"], " Did you mean learning_rate?"),
        ("epohcs", ["learning_rate", "epochs"], " Did you mean epochs?"),
        ("e", ["epochs"], ""),
        ("something", ["epochs"], ""),
    ],
)
def test_did_you_mean(word: str, choices: list[str], expected: str) -> None:
    assert did_you_mean(word, choices) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.2, "about 1 s left (until 13:00)"),
        (89, "about 89 s left (until 13:01)"),
        (90, "about 2 min left (until 13:01)"),
        (35 * 60, "about 35 min left (until 13:35)"),
        (5400, "about 1 h 30 min left (until 14:30)"),
        (12 * 3600, "about 12 h 00 min left (until 2026-03-02 01:00)"),
        (1e15, "about 277,777,777,777 h 47 min left"),
    ],
)
def test_time_left(seconds: float, expected: str) -> None:
    assert describe_time_left(seconds, datetime(2026, 3, 1, 13, 0, 0)) == expected
