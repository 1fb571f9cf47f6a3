"""The images that a table lists: where their files are, and what stands beside them."""

import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pochitrain.data.index import (
    UNKNOWN,
    FolderIndex,
    PathList,
    directory_prefix,
    file_stamp,
    load_index,
)
from pochitrain.data.progress import WaitDisplay
from pochitrain.data.table_file import NUM_SHOWN, Int64s, TableFile
from pochitrain.error import ConfigError, require
from pochitrain.text import did_you_mean, shorten_list

IMAGE_NAMES = ("image_path", "image", "path", "file_path", "file", "filename", "file_name")
LABEL_NAMES = ("label", "class", "class_name", "true_class")
"""Columns that are taken where the config names none, the first that is there."""

LABEL = "label_column"


@dataclass
class TableRows:
    """The images of a table, each once. N images."""

    file: TableFile
    numbers: Int64s
    """Line or row of each, shape (N,)."""
    paths: PathList
    cells: dict[str, list[str]]
    """Key of the config (label_column, group_by, ...) -> the cell of each image, where there is
    such a column."""
    num_bytes: Int64s
    mtime_ns: Int64s
    """Of each file, as `file_stamp`; shape (N,)."""
    repeated: list[tuple[int, str]]
    """(line, path) of the rows that were left out because an earlier one says the same."""

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def missing(self) -> Int64s:
        """Positions of the images whose file is not there."""
        return np.flatnonzero(self.num_bytes < 0)

    def show(self, positions: Sequence[int] | Int64s, seen: Sequence[str]) -> str:
        """Some lines and what stands there, for messages."""
        rows = sorted((int(self.numbers[i]), seen[int(i)]) for i in positions)
        return f"{self.file.show(rows)} of {self.file.path!r}"

    def column(self, key: str) -> list[str]:
        """The cells of a column in which none may be empty.

        Raises:
            ConfigError: naming the lines where one is.
        """
        cells = self.cells[key]
        empty = [f"{self.file.unit} {self.numbers[i]}" for i, cell in enumerate(cells) if not cell]
        if empty:
            raise ConfigError(
                f"{self.file.name(key)} must have a value in every row, got none in "
                f"{shorten_list(empty, NUM_SHOWN)} of {self.file.path!r}. Fill it in, or delete "
                "the row."
            )
        return cells

    def take(self, positions: Int64s) -> "TableRows":
        """The images at `positions`, in that order."""
        chosen = positions.tolist()
        return replace(
            self,
            numbers=self.numbers[positions],
            paths=self.paths.take(positions),
            cells={key: [column[i] for i in chosen] for key, column in self.cells.items()},
            num_bytes=self.num_bytes[positions],
            mtime_ns=self.mtime_ns[positions],
        )

    def index(self) -> FolderIndex:
        """The files, with what earlier runs found out about them (for `find_unreadable`)."""
        # Under another root the same rows are other files.
        name = f"{os.path.abspath(self.file.path)}:{os.path.abspath(self.paths.prefix)}"
        known = np.full(len(self), UNKNOWN, np.uint8)
        no_folders = np.zeros(0, np.int64)
        index = FolderIndex(
            name, [], no_folders, [], self.paths, self.num_bytes, self.mtime_ns, known
        )
        saved = load_index(name)
        if saved is not None:
            index.remember(saved)
        return index


def read_rows(
    file: TableFile,
    image: str | None = None,
    label: str | None = None,
    others: Mapping[str, str | None] | None = None,
    root: str | None = None,
) -> TableRows:
    """The images of a table, in its order.

    Args:
        image: column of the paths; None = the first of IMAGE_NAMES that is there.
        label: column of the classes; None = the first of LABEL_NAMES, or none.
        others: key of the config -> its column; None = there is none.
        root: folder that relative paths are looked up from; None = that of the table, for
            inference_results.csv the current folder.

    Raises:
        ConfigError: for a column or a folder that is not there, no rows, rows without an image, or
            two rows that say different things about one image.
    """
    image = find_column(file, "image_column", image, IMAGE_NAMES)
    if image is None:
        raise ConfigError(no_column(file, "image_column", IMAGE_NAMES))
    wanted = {LABEL: find_column(file, LABEL, label, LABEL_NAMES)}
    wanted |= {key: find_column(file, key, name) for key, name in (others or {}).items()}
    names = {key: name for key, name in wanted.items() if name is not None}
    numbers, columns = file.read(list(dict.fromkeys([image, *names.values()])))
    require(len(numbers) > 0, file.key, "a table with a row for each picture", file.path)
    cells = {key: columns[name] for key, name in names.items()}
    if LABEL in cells:  # macOS writes ガ as カ and a mark: the letters count, as for folders
        cells[LABEL] = [unicodedata.normalize("NFC", cell) for cell in cells[LABEL]]
    empty = [f"{file.unit} {numbers[i]}" for i, path in enumerate(columns[image]) if not path]
    if empty:
        raise ConfigError(
            f"{file.name('image_column')} must name a picture in every row, got none in "
            f"{shorten_list(empty, NUM_SHOWN)} of {file.path!r}."
        )
    paths, prefix = locate_files(columns[image], file, root)
    stamps = look_up(paths, prefix)
    whole = [os.path.normpath(prefix + path) for path in paths]
    kept, repeated = find_repeated(file, numbers, whole, cells)
    rows = TableRows(
        file,
        numbers,
        PathList.of(paths, prefix),
        cells,
        stamps[:, 0].copy(),
        stamps[:, 1].copy(),
        repeated,
    )
    return rows.take(kept) if repeated else rows


def find_column(
    file: TableFile, key: str, given: str | None, names: Sequence[str] = ()
) -> str | None:
    """The column that is `given`, else the first of `names` that is there; None without.

    Raises:
        ConfigError: if the table lacks the one that is given.
    """
    if given is None:
        return next((name for name in names if name in file.header), None)
    if given not in file.header:
        raise ConfigError(
            f"{file.name(key)} must be a column of {file.path!r}, got {given!r}."
            f"{did_you_mean(given, file.header)} Columns: {shorten_list(file.header)}."
        )
    return given


def no_column(file: TableFile, key: str, names: Sequence[str]) -> str:
    """The message for a table without any of the columns that are found by name."""
    remedy = f" Say which it is: data.{key}=NAME." if file.key == "data.table" else ""
    return (
        f"{file.key} must be a table with a column called {', '.join(names[:-1])} or {names[-1]}, "
        f"got {file.path!r} with {shorten_list(file.header)}.{remedy}"
    )


def locate_files(given: list[str], file: TableFile, root: str | None) -> tuple[list[str], str]:
    """(paths, what comes before each of them), so that both together can be opened.

    Raises:
        ConfigError: if `root` is no folder.
    """
    if root is not None and not os.path.isdir(root):
        raise ConfigError(
            f"{file.name('root')} must be the folder that the paths in the table begin at, got "
            f"{root!r}, which is not there. It is looked up from {os.getcwd()!r}."
        )
    folder = root
    if folder is None:
        # An inference writes paths as they were given to it, seen from where it ran.
        folder = "" if file.is_result else os.path.dirname(file.path)
    prefix = directory_prefix(os.path.normpath(folder or "."))
    if any(map(os.path.isabs, given)):
        return [os.path.normpath(os.path.join(prefix, path)) for path in given], ""
    return [os.path.normpath(path) for path in given], prefix


def look_up(paths: list[str], prefix: str) -> Int64s:
    """Size and time of each file as `file_stamp`, int64, shape (N, 2).

    Where a file is only there under another spelling of the same letters (macOS writes ガ as カ and
    a mark), that takes the place of the path in `paths`.
    """
    stamps = np.empty((len(paths), 2), np.int64)
    with WaitDisplay("Looking up pictures", len(paths)) as display:
        for i, path in enumerate(paths):
            stamp = file_stamp(prefix + path)
            if stamp[0] < 0 and not path.isascii():
                for form in ("NFC", "NFD"):
                    other = unicodedata.normalize(form, path)
                    if other != path and (found := file_stamp(prefix + other))[0] >= 0:
                        paths[i], stamp = other, found
            stamps[i] = stamp
            display.advance()
    return stamps


def find_repeated(
    file: TableFile, numbers: Int64s, paths: list[str], cells: Mapping[str, list[str]]
) -> tuple[Int64s, list[tuple[int, str]]]:
    """(positions of the first row of each image, (line, path) of the others).

    Raises:
        ConfigError: if two rows of an image differ in what is read of them.
    """
    first: dict[str, int] = {}
    repeated, differing = [], []
    for i, path in enumerate(paths):
        before = first.setdefault(path, i)
        if before == i:
            continue
        repeated.append(i)
        for key, column in cells.items():
            if column[i] != column[before]:
                differing.append(
                    f"{path!r} with {key} {column[before]!r} in {file.unit} {numbers[before]} and "
                    f"{column[i]!r} in {file.unit} {numbers[i]}"
                )
    if differing:
        raise ConfigError(
            f"{file.key} must say one thing about each picture, got "
            f"{shorten_list(differing, NUM_SHOWN)} of {file.path!r}."
        )
    kept = np.array(sorted(first.values()), np.int64)
    return kept, [(int(numbers[i]), paths[i]) for i in repeated]


def describe_missing(rows: TableRows) -> str:
    """The message for images that are not there."""
    missing, file = rows.missing, rows.file
    paths = [rows.paths.raw(i).decode("utf-8", "surrogateescape") for i in range(len(rows))]
    text = (
        f"{file.key} must list pictures that are there, got {len(missing):,} of {len(rows):,} that "
        f"are not: {rows.show(missing, paths)}."
    )
    if rows.paths.prefix or not any(map(os.path.isabs, paths)):
        text += f" They are looked up from {os.path.abspath(rows.paths.prefix)!r}; "
        text += f"{file.name('root')} changes that."
    if os.sep == "/" and any("\\" in paths[i] for i in missing):
        text += " Write / between folders."
    return text


def describe_repeated(rows: TableRows) -> list[str]:
    """A warning if rows were left out because they repeat an earlier one."""
    if not rows.repeated:
        return []
    return [
        f"{rows.file.key} lists {len(rows.repeated):,} picture(s) more than once, which are used "
        f"once: {rows.file.show(rows.repeated)} of {rows.file.path!r}."
    ]
