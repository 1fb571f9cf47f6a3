"""`pochi compare RUN RUN...`: from directories to tables, tests and a page."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from pochitrain.atomic import write_text
from pochitrain.console import PrintableConsole, open_console
from pochitrain.data.decode import UnreadableImageError, decode_rgb
from pochitrain.error import ConfigError, PochiError
from pochitrain.inference.table import save_json
from pochitrain.manner import print_json, without_nan
from pochitrain.report.compare_page import Card, format_page
from pochitrain.run.compare.comparison import (
    Answer,
    Comparison,
    compare_seeds,
    compare_settings,
)
from pochitrain.run.compare.entry import Entry, EntrySettings, load_entries, open_pictures
from pochitrain.run.compare.find import find_runs
from pochitrain.run.compare.row import Row, make_rows
from pochitrain.run.compare.setting import Setting, differences, group_by_setting
from pochitrain.run.compare.terminal import print_tables
from pochitrain.run.compare.text import content_of, describe, describe_all, describe_metrics, plain
from pochitrain.text import format_csv

MAX_CARDS = 24
"""Pictures that the page shows for each side of a comparison."""


@dataclass
class CompareSettings:
    """The settings of the command line."""

    runs: Sequence[str]
    output: str | None = None
    device: str | None = None
    allow: Sequence[str] = ()


@dataclass
class Result:
    """Everything that is printed and written."""

    settings: list[Setting]
    rows: list[Row]
    comparisons: list[Comparison]
    within: dict[str, Comparison | None]
    """Label of a setting -> its best run against its worst."""
    config: dict[str, list[str]]
    """Key -> its value in each setting, where these differ."""
    notes: list[str]

    @property
    def text(self) -> list[str]:
        return describe_all(self.settings, self.comparisons, self.within)

    def content(self) -> dict[str, Any]:
        found = content_of(
            self.settings, self.rows, self.comparisons, self.within, self.config, self.notes
        )
        plain: dict[str, Any] = without_nan(found)
        return plain


def compare_runs(options: CompareSettings) -> Path | None:
    """Compare runs, print the result, and write it where asked to.

    Returns:
        The folder written; None without one.

    Raises:
        ConfigError: for fewer than two runs, a run that cannot be read, or a folder that cannot be
            written to.
    """
    folders, notes = find_runs(options.runs)
    output = None if options.output is None else make_output(options.output)
    progress = PrintableConsole(stderr=True)
    how = EntrySettings(options.device, options.allow)
    result = make_result(load_entries(folders, how, progress), notes)
    print_json(result.content())
    print_tables(open_console(), result.settings, result.rows, result.config)
    console = open_console()
    more = [describe_metrics(one) for one in result.comparisons]
    notes = [f"Note: {note}." for note in result.notes]
    for line in [*result.text, *filter(None, more), *notes]:
        console.result(line, markup=False)
    if output is not None:
        files = write_files(output, result, how)
        progress.written(output, files)
    return output


def make_result(entries: Sequence[Entry], notes: Sequence[str]) -> Result:
    """Group the runs, and measure and test them."""
    settings = group_by_setting(entries)
    lacking = [f"{entry.name}: {entry.note.rstrip('.')}" for entry in entries if entry.note]
    return Result(
        settings,
        make_rows(settings),
        compare_settings(settings),
        {setting.label: compare_seeds(setting) for setting in settings},
        differences(settings),
        [*notes, *lacking],
    )


def make_output(given: str) -> Path:
    """Make the folder of `--output`.

    Raises:
        ConfigError: if that is not possible.
    """
    folder = Path(given)
    reason = ""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            reason = "Permission denied"
    except OSError as error:
        reason = str(error.strerror)
    if reason:
        raise ConfigError(
            f"--output must be a folder that can be written to, got {given!r} ({reason}). Choose "
            "another with --output DIR."
        )
    return folder


def write_files(folder: Path, result: Result, how: EntrySettings) -> list[str]:
    """Write compare.json, the tables, the graphs and the page; returns their names."""
    from pochitrain.report.compare_graph import draw_curves, draw_intervals  # loads matplotlib

    save_json(folder / "compare.json", result.content())
    write_text(folder / "metrics.csv", format_metrics(result.rows))
    labels = [setting.label for setting in result.settings]
    rows = ([key, *values] for key, values in result.config.items())
    write_text(folder / "config.csv", format_csv(["key", *labels], rows))
    pairs = [*(one for one in result.within.values() if one is not None), *result.comparisons]
    write_text(folder / "disagreements.csv", format_disagreements(pairs))
    files = ["compare.json", "metrics.csv", "config.csv", "disagreements.csv"]
    named = [
        (f"{row.setting}: {row.entry.name}", row.setting, row.entry.folder) for row in result.rows
    ]
    graphs = [folder / "curves.png", folder / "intervals.png"]
    drawn = [
        draw_curves(named, graphs[0]),
        draw_intervals(
            [
                (f"{row.setting}: {row.entry.name}", row.setting, value, interval)
                for row in result.rows
                for metric, (value, interval) in row.values.items()
                if metric.name == "val_accuracy"
            ],
            graphs[1],
        ),
    ]
    graphs = [path for path, is_drawn in zip(graphs, drawn, strict=True) if is_drawn]
    page = make_page(result, graphs, how)
    write_text(folder / "compare.html", page)
    return [*files, *(path.name for path in graphs), "compare.html"]


def format_metrics(rows: Sequence[Row]) -> str:
    """Text of metrics.csv: a row per run, three columns per metric."""
    metrics = list(next((row.values for row in rows if row.values), {}))
    header = ["run", "setting", "seed", "pictures", "best_epoch", "epochs"]
    for metric in metrics:
        header += [metric.name, f"{metric.name}_low", f"{metric.name}_high"]

    def cells(row: Row) -> list[object]:
        entry = row.entry
        found: list[object] = [str(entry.folder), row.setting, row.seed, row.num_pictures]
        found += [entry.best_epoch, entry.epochs]
        for metric in metrics:
            value, interval = row.values.get(metric, (None, None))
            found += [value, interval and interval.low, interval and interval.high]
        return found

    return format_csv(header, map(cells, rows))


def format_disagreements(comparisons: Sequence[Comparison]) -> str:
    """Text of disagreements.csv: the pictures that one has right and the other wrong."""
    header = ["first", "second", "right", "image_path", "true_class", "first_class", "second_class"]
    rows = (
        [one.first, one.second, who, a.picture, a.true, a.first, a.second]
        for one in comparisons
        for who, answers in ((one.first, one.only_first), (one.second, one.only_second))
        for a in answers
    )
    return format_csv(header, rows)


def make_page(result: Result, graphs: Sequence[Path], how: EntrySettings) -> str:
    """HTML of everything."""
    load = PictureLoader([row.entry for row in result.rows], how)
    sections = []
    for one in result.comparisons:
        sides = [
            (name, len(answers), [load.card(answer, one) for answer in answers[:MAX_CARDS]])
            for name, answers in ((one.first, one.only_first), (one.second, one.only_second))
        ]
        sections.append((plain(one), describe(one), sides))
    return format_page(result.content(), result.config, sections, graphs)


class PictureLoader:
    """Loads pictures by the names that runs give them, opening the data of a run when needed."""

    def __init__(self, entries: Sequence[Entry], how: EntrySettings) -> None:
        self.how = how
        self.owner: Mapping[str, tuple[Entry, int]] = {
            picture: (entry, index)
            for entry in entries
            for index, picture in enumerate(entry.pictures)
        }
        self.opened: dict[Path, Any] = {}

    def card(self, answer: Answer, comparison: Comparison) -> Card:
        return Card(
            self.load(answer.picture),
            answer.picture,
            answer.true,
            [(comparison.first, answer.first), (comparison.second, answer.second)],
        )

    def load(self, picture: str) -> Image.Image | None:
        """The picture; None if it cannot be had any more."""
        with suppress(UnreadableImageError, OSError):
            if os.path.isfile(picture):
                return decode_rgb(picture)
        entry, index = self.owner[picture]
        with suppress(PochiError, UnreadableImageError, OSError):
            if entry.folder not in self.opened:
                self.opened[entry.folder] = None
                self.opened[entry.folder] = open_pictures(entry.folder, self.how)[1]
            dataset = self.opened[entry.folder]
            if dataset is not None and dataset.name(index) == picture:
                image: Image.Image = dataset.load(index)
                return image
        return None
