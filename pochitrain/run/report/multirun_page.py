"""The page of a multirun: its runs side by side, those that differ by their seed as one setting."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from pochitrain.error import ConfigError
from pochitrain.metric.interval import Interval, wilson_interval
from pochitrain.report.html_page import link_to, render_page
from pochitrain.report.language import Translate
from pochitrain.report.line_chart import Chart, Line, draw_chart
from pochitrain.run.compare.entry import Entry
from pochitrain.run.compare.find import MAX_DEPTH, is_run, walk
from pochitrain.run.compare.row import read_confusion
from pochitrain.run.compare.setting import Setting, differences, group_by_setting
from pochitrain.run.report.run_files import read_columns
from pochitrain.run.resume.find import load_config
from pochitrain.run.status import read_status

FOLLOWS = {"optimizer.lr": "learning_rate", "data.batch_size": "batch_size"}
"""Keys that are left out of the table where they say the same as these."""


@dataclass
class GridRun:
    """A run in the table."""

    entry: Entry
    link: str
    """Its page, or its directory, relative to the page of the multirun."""
    has_page: bool
    accuracy: float | None
    """Percent."""
    interval: Interval | None
    num: int
    """Validation pictures."""
    fold: object

    @property
    def seed(self) -> object:
        return self.entry.config.get("seed")


@dataclass
class GridSetting:
    """Runs whose configs differ by nothing but the seed and the fold."""

    setting: Setting
    values: list[str]
    """Of the keys in which the settings differ."""
    runs: list[GridRun]

    @property
    def accuracies(self) -> list[float]:
        return [run.accuracy for run in self.runs if run.accuracy is not None]

    @property
    def mean(self) -> float | None:
        return fmean(self.accuracies) if self.accuracies else None

    @property
    def spread(self) -> float | None:
        """Sample standard deviation; None of fewer than two runs."""
        return stdev(self.accuracies) if len(self.accuracies) > 1 else None


def find_grid(folder: Path) -> list[Path]:
    """The runs below a folder, by name."""
    if not folder.is_dir():
        return []
    return sorted(path for path in walk(folder, MAX_DEPTH) if is_run(path))


def read_grid(folder: Path, runs: Sequence[Path]) -> tuple[list[GridSetting], list[str]]:
    """The settings, best mean first, and the keys in which they differ."""
    read = {}
    for path in runs:
        try:
            read[path] = read_grid_run(folder, path)
        except ConfigError:  # another program's, or damaged
            continue
    settings = group_by_setting([one.entry for one in read.values()])
    differing = differences(settings)
    changed = {
        key: values
        for key, values in differing.items()
        if differing.get(FOLLOWS.get(key, "")) != values
    }
    found = [
        GridSetting(
            setting,
            [values[i] for values in changed.values()],
            [read[entry.folder] for entry in setting.entries],
        )
        for i, setting in enumerate(settings)
    ]
    found.sort(key=lambda one: -np.inf if one.mean is None else one.mean, reverse=True)
    return found, list(changed)


def read_grid_run(folder: Path, path: Path) -> GridRun:
    """What the table says of a run.

    Raises:
        ConfigError: if its config is damaged.
    """
    config: dict[str, Any] = deepcopy(load_config(path))
    data = config.get("data") or {}
    fold = data.pop("fold", None)
    status = read_status(path)
    best = (status.get("best") or {}).get("epoch")
    words = str(status.get("status", "unknown"))
    entry = Entry(path.name, path, config, status.get("epoch"), best, words, None)
    confusion = read_confusion(path)
    page = path / "report.html"
    link = link_to(page if page.is_file() else path, folder)
    if confusion is None:
        return GridRun(entry, link, page.is_file(), None, None, 0, fold)
    right, num = int(confusion.trace()), int(confusion.sum())
    interval = wilson_interval(right, num)
    return GridRun(entry, link, page.is_file(), 100 * right / num, interval, num, fold)


def make_multirun_page(folder: Path, runs: Sequence[Path], language: str) -> str:
    """HTML of the page.

    Args:
        language: en or ja.
    """
    _ = Translate(language)
    settings, keys = read_grid(folder, runs)
    everyone = [run for setting in settings for run in setting.runs]
    return render_page(
        "multirun.html",
        _,
        language,
        name=folder.absolute().name,
        settings=settings,
        keys=keys,
        num=len(everyone),
        has_folds=any(run.fold is not None for run in everyone),
        curves=draw_chart(curve_chart(settings, _)),
        missing=[
            _(
                "{run} has no validation result ({status}).",
                run=run.entry.name,
                status=_.word(run.entry.status),
            )
            for run in everyone
            if run.accuracy is None
        ],
    )


def curve_chart(settings: Sequence[GridSetting], _: Translate) -> Chart:
    """The validation accuracy of every run."""
    lines = []
    for number, setting in enumerate(settings):
        for run in setting.runs:
            table = read_columns(run.entry.folder / "training_metrics.csv")
            if "val_accuracy" in table:
                points = list(zip(table["epoch"], table["val_accuracy"], strict=True))
                label = f"{setting.setting.label}: {run.entry.name}"
                lines.append(Line(label, points, color=number))
    return Chart(_("Validation accuracy"), lines, "%", _("epoch"))
