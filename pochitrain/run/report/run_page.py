"""The page of a run, made of the files in its directory."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import OmegaConf

from pochitrain.data.dataset import ImageDataset
from pochitrain.engine.trainer import LEFT_OUT_COLUMN
from pochitrain.report.html_page import render_page
from pochitrain.report.language import Translate
from pochitrain.report.line_chart import draw_chart
from pochitrain.report.map_chart import Dot, draw_map
from pochitrain.report.reliability_chart import draw_reliability_chart
from pochitrain.run.report.answers import Answers, calibration_error
from pochitrain.run.report.commands import describe_commands
from pochitrain.run.report.curves import gradient_chart, make_charts
from pochitrain.run.report.data_findings import find_findings
from pochitrain.run.report.pictures import NUM_MISTAKES, Pictures, choose_pictures, picture_rows
from pochitrain.run.report.plan import describe_plan
from pochitrain.run.report.run_files import RunFiles
from pochitrain.run.report.scores import compute_scores
from pochitrain.run.report.settings import find_differences
from pochitrain.run.report.tables import class_rows, shown_matrix, worst_pairs, worst_rows
from pochitrain.text import escape_interpolations


@dataclass
class Source:
    """What a page is made of besides the files of the run."""

    answers: Answers | None = None
    dataset: ImageDataset | None = None
    """The validation pictures; None if they are not there any more."""
    why_missing: str = ""
    """Why there are no answers, or no pictures."""
    max_pictures: int = 1000
    heatmaps: dict[int, str] = field(default_factory=dict)
    """Position of a picture -> data URL of where the model looks, shown beside a mistake."""
    places: dict[int, tuple[float, float]] = field(default_factory=dict)
    """Position of a picture -> its place on a map by features."""


def make_run_page(run: RunFiles, source: Source, language: str) -> str:
    """HTML of the page.

    Args:
        language: en or ja.
    """
    _ = Translate(language)
    answers = source.answers
    names = run.class_names if answers is None else answers.class_names
    values = {
        "run": run,
        "name": run.folder.absolute().name,
        "names": names,
        "plan": describe_plan(run, names, _),
        "scores": compute_scores(run, answers, _),
        "charts": [draw_chart(one) for one in make_charts(run, _)],
        "gradient": draw_optional(gradient_chart(run, _)),
        "counts": run.counts,
        "findings": find_findings(run, [] if answers is None else answers.images),
        "differences": find_differences(run),
        "config": OmegaConf.to_yaml(OmegaConf.create(escape_interpolations(run.config))),
        "environment": describe_environment(run, _),
        "commands": describe_commands(run.folder, run.environment, _),
        "missing": missing_parts(run, source, _),
        "heatmaps": source.heatmaps,
        "without_leaks": accuracy_without_leaks(run),
        **describe_matrix(run, answers, names),
        **describe_pictures(run, source, _),
        **describe_calibration(answers, _),
    }
    return render_page("run.html", _, language, **values)


def describe_environment(run: RunFiles, _: Translate) -> list[tuple[str, str]]:
    """Label and text of what it ran on."""
    found = run.environment
    versions, git = found.get("versions"), found.get("git")
    rows: list[tuple[str, Any]] = []
    if isinstance(versions, dict):
        text = ", ".join(f"{name} {version}" for name, version in versions.items())
        rows.append((_("software"), text))
    rows += [(_("system"), found.get("platform")), (_("folder"), found.get("folder"))]
    if isinstance(git, dict):
        changed = _(" (with changes)") if git.get("changed") else ""
        rows.append(("git", f"{git.get('commit')}{changed}"))
    return [(label, str(text)) for label, text in rows if text]


def draw_optional(chart: Any) -> str:
    return "" if chart is None else draw_chart(chart)


def describe_matrix(run: RunFiles, answers: Answers | None, names: list[str]) -> dict[str, Any]:
    """The tables of classes and confusions."""
    confusion = run.confusion if answers is None else answers.confusion()
    if confusion is None:
        return {"classes": [], "pairs": [], "matrix": None, "num_mistakes": 0}
    train = run.counts.get("train")
    if not (isinstance(train, list) and len(train) == len(names)):
        train = None
    pairs = worst_pairs(confusion)
    return {
        "classes": worst_rows(class_rows(names, confusion, train)),
        "pairs": pairs,
        "matrix": shown_matrix(confusion, pairs),
        "num_mistakes": int(confusion.sum() - confusion.trace()),
    }


def describe_pictures(run: RunFiles, source: Source, _: Translate) -> dict[str, Any]:
    """The pictures: those that are seen at once, and the rows for the script."""
    answers = source.answers
    leaked = {
        int(row["position"]): row["training_picture"]
        for row in run.leaks
        if row.get("position", "").isdecimal() and row.get("training_picture")
    }
    if answers is None:
        nothing: dict[str, Any] = {"answers": None, "pictures": Pictures(), "map": ""}
        return nothing | {"first": [], "rows": [], "leaked": leaked}
    pictures = choose_pictures(answers, source.dataset, source.max_pictures)
    num_first = min(NUM_MISTAKES, pictures.num_mistakes)
    dots = [
        Dot(*source.places[i], rank, int(answers.true[i]), bool(answers.is_right[i]))
        for rank, i in enumerate(pictures.shown)
        if i in source.places
    ]
    return {
        "map": draw_map(dots, answers.class_names, _("Map of the validation pictures")),
        "answers": answers,
        "pictures": pictures,
        "first": pictures.shown[:num_first],
        "rows": picture_rows(pictures, answers, leaked, lambda rank: rank < num_first),
        "leaked": leaked,
    }


def describe_calibration(answers: Answers | None, _: Translate) -> dict[str, Any]:
    bins = [] if answers is None else answers.bins()
    x, y, title = _("mean confidence (%)"), _("accuracy (%)"), _("Confidence and accuracy")
    return {
        "bins": bins,
        "calibration_error": calibration_error(bins),
        "reliability": draw_reliability_chart(bins, x, y, title) if bins else "",
    }


def accuracy_without_leaks(run: RunFiles) -> float | None:
    """Percent in the best epoch, of the pictures that are not in training; None if all count."""
    column, best = run.metrics.get(LEFT_OUT_COLUMN), run.best_epoch
    if column is None or best is None or not 0 < best <= len(column):
        return None
    return column[best - 1]


def missing_parts(run: RunFiles, source: Source, _: Translate) -> list[str]:
    """What the page lacks, and why."""
    found: list[str] = []
    if source.why_missing:
        found.append(
            _("No pictures and no predictions for them: {why}", why=source.why_missing)
            if source.answers is None
            else _("No pictures: {why}", why=source.why_missing)
        )
    for name, there in (
        ("training_metrics.csv", run.metrics),
        ("confusion_matrix.csv", run.confusion is not None or source.answers is not None),
        ("environment.json", run.environment),
        ("status.json", bool(run.status)),
    ):
        if not there:
            found.append(_("The run directory has no usable {file}.", file=name))
    if run.environment and not run.counts:
        found.append(_("This run is older than the table of pictures by class and split."))
    return found
