"""Graphs of a search as HTML pages that work offline; they share one plotly.min.js."""

import warnings
from pathlib import Path
from typing import Any

from optuna import visualization
from optuna.study import Study
from optuna.trial import TrialState

from pochitrain.atomic import write_text

SCRIPT = "plotly.min.js"
MAX_CONTOUR_PARAMS = 4
"""A contour plot has a panel per pair of parameters; more would be unreadable."""


def write_pages(
    study: Study, folder: Path, importances: dict[str, float], metric: str
) -> list[Path]:
    """Write optimization_history.html, param_importances.html and contour.html.

    Args:
        importances: parameter -> share, most important first.
        metric: name (and unit) of the values, for the axes.
    """
    if not (folder / SCRIPT).exists():
        from plotly.offline import get_plotlyjs

        write_text(folder / SCRIPT, get_plotlyjs())
    if has_values(study):
        history = visualization.plot_optimization_history(study, target_name=metric)
        contour = draw_contour(study, importances, metric)
    else:
        history = contour = draw_nothing()
    figures = {
        "optimization_history": history,
        "param_importances": draw_importances(importances),
        "contour": contour,
    }
    return [write_page(figure, folder / f"{name}.html") for name, figure in figures.items()]


def has_values(study: Study) -> bool:
    """Whether a trial is completed."""
    return bool(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def draw_nothing() -> Any:
    import plotly.graph_objects as go

    return go.Figure(layout=go.Layout(title="No trial has been completed"))


def draw_importances(importances: dict[str, float]) -> Any:
    """A bar per parameter, with the numbers of study_statistics.json."""
    import plotly.graph_objects as go

    names = list(reversed(importances))
    shares = [importances[name] for name in names]
    bars = go.Bar(x=shares, y=names, orientation="h", text=[f"{s:.2f}" for s in shares])
    title = "Importance of the parameters" if names else "Too few trials to compute importances"
    layout = go.Layout(title=title, xaxis={"title": "importance (the sum is 1)", "range": [0, 1]})
    return go.Figure(bars, layout)


def draw_contour(study: Study, importances: dict[str, float], metric: str) -> Any:
    """The value over each pair of the most important parameters, or over the only one."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    names = list(dict.fromkeys([*importances, *(name for t in trials for name in t.params)]))
    values = {name: {str(t.params[name]) for t in trials if name in t.params} for name in names}
    varied = [name for name in names if len(values[name]) > 1]
    params = varied[:MAX_CONTOUR_PARAMS]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if len(params) < 2:
            params = params or names[:1]
            return visualization.plot_slice(study, params, target_name=metric)
        return visualization.plot_contour(study, params, target_name=metric)


def write_page(figure: Any, path: Path) -> Path:
    text = figure.to_html(include_plotlyjs=SCRIPT, full_html=True, default_height="95vh")
    write_text(path, text.replace("<html>", '<html lang="en">', 1))
    return path
