"""The columns of a CSV, TSV or Parquet file as text, with the line of each row for messages.

CSV is read by the standard library and not by pandas, which does not say in which line a row begins
(blank lines and line ends inside cells count), and guesses types: classes 1, 2, 10 must stay text.
"""

import codecs
import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pochitrain.config.data_place import require_table_file
from pochitrain.config.model import require_package
from pochitrain.config.table import SUFFIXES, TABLE_SUFFIXES, is_encoding
from pochitrain.error import ConfigError, require
from pochitrain.text import first_line, restore_cell, shorten_list

RESULT_COLUMNS = {"image_path", "true_class", "predicted_class"}
"""What a table of predictions has that was written by a run: inference_results.csv, and others."""

NUM_SHOWN = 5
"""Rows that a message names."""

Int64s = NDArray[np.int64]


@dataclass
class TableFile:
    """A table whose header has been read."""

    path: str
    key: str
    """How messages call the setting: data.table or --data."""
    header: list[str]
    text: str | None
    """Of a CSV or TSV file; None = Parquet."""
    separator: str = ","

    @property
    def unit(self) -> str:
        """What messages count."""
        return "row" if self.text is None else "line"

    def name(self, key: str) -> str:
        """How messages call a key that belongs to the table."""
        if self.key == "data.table":
            return f"data.{key}"
        return "--root" if key == "root" else f"the {key} of {self.key}"

    @property
    def is_result(self) -> bool:
        """Whether it is a table of predictions that pochitrain wrote."""
        return {*self.header} >= RESULT_COLUMNS

    def read(self, names: Sequence[str]) -> tuple[Int64s, dict[str, list[str]]]:
        """The line or row (from 1) at which each row begins, int64, shape (N,), and the columns.

        Empty rows are left out.

        Raises:
            ConfigError: for a row with more or fewer cells than the header, or a column that holds
                neither text nor numbers.
        """
        if self.text is not None:
            return read_csv_columns(self, self.text, names)
        columns = read_parquet_columns(self, names)
        rows = list(zip(*columns.values(), strict=True))
        kept = [i for i, row in enumerate(rows) if any(row)]
        found = {name: [column[i] for i in kept] for name, column in columns.items()}
        return np.array(kept, np.int64) + 1, found

    def show(self, rows: Sequence[tuple[int, object]]) -> str:
        """`line 4 'a.jpg', line 7 'b.jpg' and 12 more`, for messages."""
        return shorten_list([f"{self.unit} {number} {seen!r}" for number, seen in rows], NUM_SHOWN)


def is_table(path: str) -> bool:
    """Whether a path is that of a table, by its name."""
    return path.lower().endswith(SUFFIXES)


def open_table_file(path: str, key: str, encoding: str = "utf-8") -> TableFile:
    """A table with its header.

    Args:
        key: how messages call the setting.
        encoding: of a CSV or TSV file; a byte order mark overrules it.

    Raises:
        ConfigError: for a file that is not there, no table, in another encoding, or without header.
    """
    require(is_table(path), key, f"a file {TABLE_SUFFIXES}", path, "Save it as one of these.")
    require_table_file(path, key)
    if path.lower().endswith(".parquet"):
        file = TableFile(path, key, open_parquet(path, key).schema_arrow.names, None)
    else:
        text = decode(Path(path).read_bytes(), path, key, encoding)
        separator = find_separator(path, text)
        file = TableFile(path, key, [], text, separator)
        _, first = next(records(file, text), (0, []))
        file.header = [name.strip() for name in first]
    twice = sorted({name for name in file.header if name and file.header.count(name) > 1})
    require(any(file.header), key, "a table that begins with names of columns", path)
    require(not twice, key, "a table whose columns have different names", shorten_list(twice))
    return file


def decode(data: bytes, path: str, key: str, encoding: str) -> str:
    """The text of a file.

    Raises:
        ConfigError: naming the line that is in another encoding.
    """
    require(is_encoding(encoding), "data.encoding", "an encoding of Python", encoding)
    used = codecs.lookup(encoding).name
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        used = "utf-16"  # what Excel calls Unicode text
    elif data.startswith(codecs.BOM_UTF8) or used == "utf-8":
        used = "utf-8-sig"
    try:
        return data.decode(used)
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        line = data[:start].count(b"\n") + 1
        seen = f"byte 0x{data[start]:02x}" if start < len(data) else "a broken end"
        text = f"{key} must be text in {encoding}, got {seen} in line {line} of {path!r}."
        if used == "utf-8-sig":
            text += " Save it as UTF-8, or say what it is: data.encoding=cp932 (Shift JIS, as Excel"
            text += " writes CSV in Japanese) or cp1252 (western Europe)."
        else:
            text += " Change data.encoding."
        raise ConfigError(text) from None


def find_separator(path: str, text: str) -> str:
    """A tab in TSV; in CSV a comma, or what the header has instead (Excel in much of Europe: ;)."""
    if path.lower().endswith(".tsv"):
        return "\t"
    header = text.partition("\n")[0]
    return next((mark for mark in ",;\t" if mark in header), ",")


def records(file: TableFile, text: str) -> Iterator[tuple[int, list[str]]]:
    """(line at which it begins, cells) of each record that is not empty.

    Raises:
        ConfigError: for a quotation mark that is never closed, and the like.
    """
    lines = io.StringIO(text, newline="")  # line ends stay as they are, inside of cells too
    reader = csv.reader(lines, delimiter=file.separator, strict=True)
    begin = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield begin, cells
            begin = reader.line_num + 1
    except csv.Error as error:
        raise ConfigError(
            f"{file.key} must be a table that can be read, got {file.path!r} with a mistake in the "
            f"record that begins in line {begin}: {first_line(error)}. Is a quotation mark open?"
        ) from None


def read_csv_columns(
    file: TableFile, text: str, names: Sequence[str]
) -> tuple[Int64s, dict[str, list[str]]]:
    """As `TableFile.read`."""
    places = [file.header.index(name) for name in names]
    found: list[list[str]] = [[] for _ in names]
    numbers, wrong = [], []
    clean = restore_cell if file.is_result else str.strip
    width = len(file.header)
    rows = records(file, text)
    next(rows)
    for number, cells in rows:
        if len(cells) != width:
            wrong.append(f"{len(cells)} in line {number}")
            continue
        numbers.append(number)
        for column, place in zip(found, places, strict=True):
            column.append(clean(cells[place]))
    if wrong:
        raise ConfigError(
            f"{file.key} must have {width} cells in every line, as in its header, got "
            f"{shorten_list(wrong, NUM_SHOWN)} of {file.path!r}. Text with the separator "
            f"{file.separator!r} in it must stand in quotation marks."
        )
    return np.array(numbers, np.int64), dict(zip(names, found, strict=True))


def open_parquet(path: str, key: str) -> Any:
    """The pyarrow.parquet.ParquetFile.

    Raises:
        ConfigError: if pyarrow is not installed, or the file is not Parquet.
    """
    require_package("pyarrow", "parquet", f"{key}={path}")
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
        _ = file.schema_arrow.names  # decoded here: in a damaged file they may be no text
        return file
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise ConfigError(
            f"{key} must be a Parquet file, got {path!r}, which cannot be read: "
            f"{first_line(error).rstrip('.')}."
        ) from None


def read_parquet_columns(file: TableFile, names: Sequence[str]) -> dict[str, list[str]]:
    import pyarrow

    try:
        table = open_parquet(file.path, file.key).read(columns=list(names))
        cells = {name: table.column(name).to_pylist() for name in names}
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise ConfigError(
            f"{file.key} must be a Parquet file, got {file.path!r}, which cannot be read: "
            f"{first_line(error).rstrip('.')}."
        ) from None
    found = {}
    for name in names:
        values = [as_text(value) for value in cells[name]]
        if None in values:
            kind = table.column(name).type
            raise ConfigError(
                f"{file.key} must hold text or numbers in column {name!r}, got {kind} in "
                f"{file.path!r}. Write the paths of picture files into the table."
            )
        found[name] = [value for value in values if value is not None]
    return found


def as_text(value: object) -> str | None:
    """A value of a Parquet column as it would stand in CSV; None for what is no single value.

    Whole floats are written as integers: pandas makes floats of integers where one is missing.
    """
    if value is None:
        return ""
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, date):  # a datetime too
        return value.isoformat()
    return str(value).strip() if isinstance(value, (str, int, Decimal)) else None
