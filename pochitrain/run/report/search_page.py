"""The page of a search, made of the files in its directory."""

import json
import math
import shlex
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate
from pathlib import Path
from typing import Any

from pochitrain.report.html_page import link_to, render_page
from pochitrain.report.language import Translate
from pochitrain.report.line_chart import Chart, Line, draw_chart
from pochitrain.report.parallel_chart import Trial, draw_parallel
from pochitrain.run.compare.find import is_run
from pochitrain.run.compare.setting import show
from pochitrain.run.report.curves import metric_label, unit_of
from pochitrain.run.report.run_files import read_columns
from pochitrain.run.status import read_status
from pochitrain.text import read_object

HISTORY, STATISTICS, BEST = "trials_history.json", "study_statistics.json", "best_params.json"
OPTIMIZED, CONFIG = "optimized.yaml", "optimized_config.py"
MAX_AXES = 7
"""Parameters in the chart of parallel coordinates, the most important ones."""
LONGER = 50
"""Epochs in the command that trains the best config."""
PAGES = ("optimization_history.html", "param_importances.html", "contour.html")
"""Of the search itself: larger, and with more in them."""


@dataclass
class SearchFiles:
    """What a search has left on disk; empty parts are not there."""

    folder: Path
    trials: list[dict[str, Any]]
    statistics: dict[str, Any]
    best: dict[str, Any]
    optimized: str
    """Text of optimized.yaml."""
    monitor: str
    """The metric of its trials; empty if no trial says it."""
    curves: dict[int, list[tuple[float, float]]] = field(default_factory=dict)
    """Number of a trial -> (epoch, monitored value)."""

    @property
    def maximizes(self) -> bool:
        return self.statistics.get("direction") != "minimize"


def is_search(folder: Path) -> bool:
    return (folder / HISTORY).is_file()


def read_search(folder: Path) -> SearchFiles:
    """Read what is there."""
    trials: list[dict[str, Any]] = []
    with suppress(OSError, ValueError):
        found = json.loads((folder / HISTORY).read_text(encoding="utf-8"))
        trials = [one for one in found if isinstance(one, dict) and "number" in one]
    optimized = ""
    with suppress(OSError, UnicodeDecodeError):
        optimized = (folder / OPTIMIZED).read_text(encoding="utf-8")
    runs = {trial["number"]: run for trial in trials if (run := run_of(folder, trial)) is not None}
    monitor = next(
        (str(s["monitor"]) for s in map(read_status, runs.values()) if "monitor" in s), ""
    )
    curves = {}
    for number, run in runs.items():
        table = read_columns(run / "training_metrics.csv")
        if monitor in table:
            curves[number] = list(zip(table["epoch"], table[monitor], strict=True))
    return SearchFiles(
        folder,
        trials,
        read_object(folder / STATISTICS),
        read_object(folder / BEST),
        optimized,
        monitor,
        curves,
    )


def run_of(folder: Path, trial: dict[str, Any]) -> Path | None:
    """The run directory of a trial, or of its first repeat; None if it is gone."""
    number = trial["number"]
    own = folder / (f"trial_{number:04d}" if isinstance(number, int) else "")
    return next((path for path in (own, own / "repeat_0") if is_run(path)), None)


@dataclass
class TrialRow:
    """A trial in the table."""

    number: int
    state: str
    value: float | None
    params: list[tuple[str, str]]
    """Each in full and as it is shown; empty for one that it does not have."""
    epochs: int | None
    seconds: float | None
    link: str
    """Its page or directory, relative; empty if that is gone."""
    reason: str
    is_best: bool


def make_search_page(search: SearchFiles, language: str) -> str:
    """HTML of the page.

    Args:
        language: en or ja.
    """
    _ = Translate(language)
    names = list(dict.fromkeys(name for t in search.trials for name in t.get("params", {})))
    shares = search.statistics.get("param_importances") or {}
    unit = unit_of(search.monitor)
    by_epoch = curve_chart(search, unit, _)
    return render_page(
        "search.html",
        _,
        language,
        name=search.folder.absolute().name,
        search=search,
        metric=metric_label(search.monitor, _) if search.monitor else _("value"),
        unit=unit,
        best=search.best.get("best_params") or {},
        short=short,
        params=names,
        rows=[make_row(search, trial, names) for trial in search.trials],
        importances=sorted(shares.items(), key=lambda item: -item[1]),
        history=draw_chart(history_chart(search, unit, _)),
        curves=draw_chart(by_epoch),
        is_shaded=by_epoch.many,
        parallel=draw_trials(search, names, shares, _),
        statistics=search.statistics.get("statistics") or {},
        pages=[name for name in PAGES if (search.folder / name).is_file()],
        command=f"pochi train --config {shlex.quote(str(search.folder / CONFIG))} epochs={LONGER}",
        missing=missing_parts(search, _),
    )


def make_row(search: SearchFiles, trial: dict[str, Any], names: list[str]) -> TrialRow:
    params = trial.get("params", {})
    folder = run_of(search.folder, trial)
    link = ""
    if folder is not None:
        page = folder / "report.html"
        link = link_to(page if page.is_file() else folder, search.folder)
    return TrialRow(
        trial["number"],
        str(trial.get("state", "")).lower(),
        trial.get("value"),
        [written(params, name) for name in names],
        trial.get("epochs"),
        seconds_of(trial),
        link,
        str(trial.get("reason", "")),
        trial["number"] == search.best.get("best_trial"),
    )


def written(params: dict[str, Any], name: str) -> tuple[str, str]:
    """A parameter in full and as it is shown; empty if the trial does not have it."""
    return (show(params[name]), short(params[name])) if name in params else ("", "")


def short(value: Any) -> str:
    """A parameter for a table: numbers with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else show(value)


def seconds_of(trial: dict[str, Any]) -> float | None:
    with suppress(KeyError, TypeError, ValueError):
        ends = (trial["datetime_start"], trial["datetime_complete"])
        start, end = (datetime.fromisoformat(moment) for moment in ends)
        return (end - start).total_seconds()
    return None


def history_chart(search: SearchFiles, unit: str, _: Translate) -> Chart:
    """The value of each completed trial, and the best so far."""
    done = [
        (float(trial["number"]), float(trial["value"]))
        for trial in search.trials
        if trial.get("state") == "COMPLETE" and is_finite(trial.get("value"))
    ]
    choose = max if search.maximizes else min
    numbers, values = [number for number, value in done], [value for number, value in done]
    best = list(zip(numbers, accumulate(values, choose), strict=True))
    lines = [Line(_("of the trial"), done, dots=True), Line(_("best so far"), best, dashed=True)]
    return Chart(_("Value by trial"), lines, unit, _("trial"))


def curve_chart(search: SearchFiles, unit: str, _: Translate) -> Chart:
    """The monitored metric of every trial over its epochs, the best one last; pruned ones are
    faint."""
    lines = [
        Line(
            _("trial {number}", number=trial["number"]),
            search.curves[trial["number"]],
            faint=trial.get("state") == "PRUNED",
        )
        for trial in search.trials
        if trial["number"] in search.curves
    ]
    lines = [line for line in lines if line.points]
    lines.sort(key=lambda line: line.points[-1][1], reverse=not search.maximizes)
    return Chart(_("Every trial by epoch"), lines, unit, _("epoch"))


def draw_trials(
    search: SearchFiles, names: list[str], shares: dict[str, float], _: Translate
) -> str:
    """Parallel coordinates of the completed trials."""
    done = [t for t in search.trials if t.get("state") == "COMPLETE" and is_finite(t.get("value"))]
    ordered = sorted(done, key=lambda t: t["value"], reverse=not search.maximizes)
    last = max(1, len(ordered) - 1)
    axes = sorted(names, key=lambda name: -shares.get(name, 0))[:MAX_AXES]
    end = str(_("value"))
    trials = [
        Trial(
            str(_("trial {number}: {value:.4g}", number=t["number"], value=t["value"])),
            {**t.get("params", {}), end: t["value"]},
            i / last,
        )
        for i, t in enumerate(ordered)
    ]
    return draw_parallel([*axes, end], trials, str(_("Parameters and value")))


def is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def missing_parts(search: SearchFiles, _: Translate) -> list[str]:
    files = {
        HISTORY: search.trials,
        STATISTICS: search.statistics,
        BEST: search.best,
        OPTIMIZED: search.optimized,
    }
    found: list[str] = [
        _("The directory has no usable {file}.", file=name)
        for name, there in files.items()
        if not there
    ]
    if search.trials and not search.curves:
        found.append(_("The directories of the trials are gone, so there are no curves."))
    return found
