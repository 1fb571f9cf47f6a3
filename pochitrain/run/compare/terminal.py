"""The tables of a comparison in the terminal."""

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pochitrain.metric.interval import Interval
from pochitrain.metric.metric import Metric
from pochitrain.metric.table import METRICS
from pochitrain.run.compare.row import Row
from pochitrain.run.compare.setting import Setting, shorten

SHOWN = tuple(METRICS[name] for name in ("val_accuracy", "val_balanced_accuracy", "val_macro_f1"))
MAX_KEYS = 30
"""Keys that are shown; all are in config.csv."""


def print_tables(
    console: Console,
    settings: Sequence[Setting],
    rows: Sequence[Row],
    config: Mapping[str, Sequence[str]],
) -> None:
    """Print in what the settings differ, and the metrics of every run."""
    if config:
        console.print(config_table(settings, config))
        if len(config) > MAX_KEYS:
            console.print(f"And {len(config) - MAX_KEYS} more keys: see config.csv (--output DIR).")
    elif len(settings) == 1:
        console.print("The configs differ by nothing but the seed.")
    console.print(metric_table(settings, rows))


def config_table(settings: Sequence[Setting], config: Mapping[str, Sequence[str]]) -> Table:
    table = Table(box=SIMPLE_HEAD, title="Config", title_justify="left")
    table.add_column("key", overflow="fold")
    for setting in settings:
        table.add_column(setting.label, overflow="fold")
    for key, values in list(config.items())[:MAX_KEYS]:
        table.add_row(escape(key), *(escape(shorten(value)) for value in values))
    return table


def metric_table(settings: Sequence[Setting], rows: Sequence[Row]) -> Table:
    """A row per run; below the runs of a setting their mean ± standard deviation."""
    title = "Validation (95 % intervals)"
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left")
    table.add_column("")
    table.add_column("run", overflow="fold")
    for name in ("seed", "epoch", "pictures"):
        table.add_column(name, justify="right")
    for metric in SHOWN:
        unit = f" {metric.unit}" if metric.unit else ""
        table.add_column(f"{metric.label}{unit}")
    for setting in settings:
        for row in rows:
            if row.setting == setting.label:
                table.add_row(*cells(row))
        if setting.spread is not None:
            text = f"{setting.mean_accuracy:.2f} ± {setting.spread:.2f}"
            table.add_row(
                setting.label, "mean ± standard deviation", "", "", "", text, style="bold"
            )
    return table


def cells(row: Row) -> list[str]:
    entry = row.entry
    epoch = "" if entry.best_epoch is None else f"{entry.best_epoch}/{entry.epochs}"
    seed = "" if row.seed is None else str(row.seed)
    status = "" if entry.status in ("finished", "unknown") else f" ({entry.status})"
    found = [row.setting, escape(f"{entry.name}{status}"), seed, epoch, f"{row.num_pictures:,}"]
    return found + [show(metric, row.values.get(metric)) for metric in SHOWN]


def show(metric: Metric, known: tuple[float, Interval | None] | None) -> str:
    """`94.43 (91.5-96.4)`."""
    if known is None:
        return "-"
    value, interval = known
    digits, few = (2, 1) if metric.unit == "%" else (4, 3)
    if interval is None:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} ({interval.low:.{few}f}-{interval.high:.{few}f})"
