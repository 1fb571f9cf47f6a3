"""The curves of a run: loss, accuracy, further metrics, rates, gradients."""

from collections.abc import Sequence

from pochitrain.engine.trainer import LEFT_OUT_COLUMN
from pochitrain.metric.table import find_metric
from pochitrain.report.language import Translate
from pochitrain.report.line_chart import Chart, Line
from pochitrain.run.report.run_files import RunFiles

RATE = "lr_"
"""Prefix of the columns with the rate of a layer-wise rule."""
MAX_LAYERS = 60
"""Lines of gradients; of more layers, every second, third, ... is shown."""


def make_charts(run: RunFiles, _: Translate) -> list[Chart]:
    """The charts of training_metrics.csv."""
    table = run.metrics
    if not table:
        return []
    rates = [name for name in table if name.startswith(RATE)]
    own = {"val_loss", "val_accuracy"}
    further = [name for name in table if name.startswith("val_") and name not in own]
    percent = [name for name in further if unit_of(name) == "%"]
    others = [name for name in further if name not in percent]
    charts = [
        chart(run, _("Loss"), pair("loss", _), _),
        chart(run, _("Accuracy"), [*pair("accuracy", _), *labelled(percent, _)], _, unit="%"),
        chart(run, _("Further metrics"), labelled(others, _), _),
        chart(run, _("Learning rate"), [("learning_rate", _("learning rate"), False)], _),
        chart(
            run,
            _("Learning rate by layer"),
            [(name, name.removeprefix(RATE), False) for name in rates],
            _,
            log=True,
        ),
    ]
    charts[3].from_zero = True
    if rates:
        del charts[3]
    return [one for one in charts if one.lines]


def gradient_chart(run: RunFiles, _: Translate) -> Chart | None:
    """The gradient norm of each layer; None if it was not tracked."""
    layers = [name for name in run.gradients if name != "epoch"]
    if not layers:
        return None
    step = 1 + (len(layers) - 1) // MAX_LAYERS
    epochs = run.gradients["epoch"]
    lines = [
        Line(name, list(zip(epochs, run.gradients[name], strict=True))) for name in layers[::step]
    ]
    found = Chart(_("Gradient norm by layer"), lines, x_label=_("epoch"), log=True)
    return found if found.lines else None


def chart(
    run: RunFiles,
    title: str,
    columns: Sequence[tuple[str, str, bool]],
    _: Translate,
    unit: str = "",
    log: bool = False,
) -> Chart:
    """Columns of the table as lines, with the best epoch marked.

    Args:
        columns: name, label, and whether the line is dashed.
    """
    table = run.metrics
    lines = [
        Line(label, list(zip(table["epoch"], table[name], strict=True)), dashed)
        for name, label, dashed in columns
        if name in table
    ]
    best = run.best_epoch
    mark = None if best is None else (float(best), str(_("best epoch: {epoch}", epoch=best)))
    return Chart(title, lines, unit, _("epoch"), log, mark)


def pair(metric: str, _: Translate) -> list[tuple[str, str, bool]]:
    """Of validation, training, and validation with averaged weights."""
    return [
        (f"val_{metric}", _("validation"), False),
        (f"train_{metric}", _("training"), True),
        (f"ema_val_{metric}", _("validation, averaged weights"), False),
    ]


def labelled(names: Sequence[str], _: Translate) -> list[tuple[str, str, bool]]:
    return [(name, metric_label(name, _), False) for name in names]


def metric_label(name: str, _: Translate) -> str:
    """A metric as people call it; one of the user's own by its column."""
    if name == LEFT_OUT_COLUMN:
        return _("accuracy without leaked pictures")
    plain = name.removeprefix("val_")
    known = find_metric(name)
    if known is None:
        return plain.replace("_", " ")
    if known.top_k is not None:
        return _("accuracy of the top {k}", k=known.top_k)
    return _.word(known.label.replace("f1", "F1").replace("mcc", "MCC"))


def unit_of(name: str) -> str:
    if name == LEFT_OUT_COLUMN:
        return "%"
    metric = find_metric(name)
    return "" if metric is None else metric.unit
