"""The tables of a comparison in the terminal."""

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from pochitrain.console import PrintableConsole
from pochitrain.metric.interval import Interval
from pochitrain.metric.metric import Metric
from pochitrain.metric.table import METRICS
from pochitrain.run.compare.row import Row
from pochitrain.run.compare.setting import Setting, shorten

SHOWN = tuple(METRICS[name] for name in ("val_accuracy", "val_balanced_accuracy", "val_macro_f1"))
MAX_KEYS = 30
"""Keys that are shown; all are in config.csv."""
MAX_COLUMNS = 6
"""Settings that have a column each."""
WIDTH = 140
"""Characters that a table may take, even where the terminal is narrower."""


def print_tables(
    console: PrintableConsole,
    settings: Sequence[Setting],
    rows: Sequence[Row],
    config: Mapping[str, Sequence[str]],
) -> None:
    """Print in what the settings differ, and the metrics of every run."""
    if config:
        show_table(console, config_table(settings, config))
        if len(config) > MAX_KEYS:
            console.result(
                f"And {len(config) - MAX_KEYS} more keys: see config.csv (--output DIR)."
            )
    elif len(settings) == 1:
        console.result("The configs differ by nothing but the seed.")
    show_table(console, metric_table(settings, rows))


def show_table(console: PrintableConsole, table: Table) -> None:
    """Print at full width: in a narrow terminal it wraps lines, where a table would lose digits."""
    console.width = max(console.width, WIDTH)
    console.result(table)


def config_table(settings: Sequence[Setting], config: Mapping[str, Sequence[str]]) -> Table:
    """A row per key; with many settings, a row per setting."""
    table = Table(box=SIMPLE_HEAD, title="Config", title_justify="left")
    keys = list(config)[:MAX_KEYS]
    values = [[shorten(text) for text in config[key]] for key in keys]
    labels = [setting.label for setting in settings]
    head, rows = ["key", *labels], [[key, *row] for key, row in zip(keys, values, strict=True)]
    if len(settings) > MAX_COLUMNS:
        head, rows = ["", *keys], [list(row) for row in zip(labels, *values, strict=True)]
    for text in head:
        table.add_column(escape(text), overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
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
