"""An inference, from a run directory to the files with predictions and scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.cells import cell_len, set_cell_size

from pochitrain.atomic import write_text
from pochitrain.callback.confusion_csv import format_confusion
from pochitrain.config.insight import ConfusionMatrixConfig
from pochitrain.console import PrintableConsole, open_console
from pochitrain.error import ConfigError, require
from pochitrain.inference.budget import MEGA
from pochitrain.inference.classifier import Classifier, load_classifier
from pochitrain.inference.decision import (
    Decision,
    decide,
    describe_answer,
    describe_decision,
    summarize_decision,
)
from pochitrain.inference.explain import require_explainable
from pochitrain.inference.interval import Intervals, compute_intervals
from pochitrain.inference.reliability import compare_calibration
from pochitrain.inference.score import Scores, score
from pochitrain.inference.source import Source, open_source
from pochitrain.inference.stream import Answers, classify
from pochitrain.inference.table import (
    PredictionRow,
    format_predictions,
    format_report,
    prediction_objects,
    save_json,
)
from pochitrain.manner import is_json, print_json
from pochitrain.run.metric import saved_metrics
from pochitrain.run.mistakes import gallery
from pochitrain.run.output_folder import make_output, require_writable
from pochitrain.text import printable


@dataclass
class InferSettings:
    """The settings of the command line."""

    model: str
    data: str | None = None
    root: str | None = None
    output: str | None = None
    device: str | None = None
    batch_size: int | None = None
    num_workers: int | None = None
    top_k: int = 5
    max_input_megapixels: int | None = None
    max_error: float | None = None
    coverage: float | None = None
    explain: bool = False
    """Whether mistakes.html has a heatmap for each mistake."""
    allow: Sequence[str] = ()


def infer(settings: InferSettings) -> Path | None:
    """Classify images and write the files of an inference.

    Returns:
        The folder written; None for a single image without `output`.

    Raises:
        ConfigError: for a model or data that cannot be used.
    """
    console = open_console()
    classifier = load_classifier(settings.model, settings.device, settings.allow)
    calibration = classifier.calibration
    decision = decide(calibration, classifier.source, settings.max_error, settings.coverage)
    if settings.explain:
        require_explainable(classifier)
    source = open_source(classifier, settings.data, settings.root)
    remedy = "It goes into mistakes.html; for other pictures there is pochi explain."
    without_classes = settings.explain and not source.labelled
    rule = "left out without true classes"
    require(not without_classes, "--explain", rule, settings.data, remedy)
    require_writable(settings.output, classifier, is_needed=not source.is_picture)
    batch_size = settings.batch_size or int(classifier.config["batch_size"])
    limit = settings.max_input_megapixels
    max_pixels = None if limit is None else limit * MEGA
    answers = classify(classifier, source.dataset, batch_size, settings.num_workers, max_pixels)
    probabilities = classifier.probabilities(answers.logits).numpy()
    if source.is_picture:
        print_one(console, classifier, answers, probabilities, settings)
        for line in describe_answer(decision, probabilities[0].tolist(), classifier.class_names):
            console.result(line, markup=False)
    rows = prediction_rows(source, answers, probabilities, decision)
    if source.is_picture and settings.output is None:
        content = summarize(classifier, source, answers, None, None)
        print_document(content, classifier, source, rows, probabilities, settings)
        return None
    decided = summarize_decision(decision, rows)
    further = dict(decided)
    scores = intervals = None
    if source.labelled and len(answers.indices):
        judged = answers.indices.numpy()
        labels = np.asarray(source.dataset.labels, np.int64)[judged]
        metrics = saved_metrics(classifier, source.warnings)
        scores = score(probabilities, labels, classifier.class_names, settings.top_k, metrics)
        groups = None if source.groups is None else source.groups[judged]
        intervals = compute_intervals(probabilities, labels, scores, groups)
        further |= compare_calibration(classifier, answers.logits, labels)
    folder = make_output(settings.output, classifier)
    files = write_files(folder, classifier, source, answers, rows, scores, intervals, further)
    if scores is not None:
        explained = classifier if settings.explain else None
        page = gallery(source.dataset, rows, classifier.class_names, explained)
        write_text(folder / "mistakes.html", page)
        files.append("mistakes.html")
    content = summarize(classifier, source, answers, scores, intervals) | further
    written = [str(folder / name) for name in files]
    print_document(content, classifier, source, rows, probabilities, settings, written)
    print_summary(console, classifier, source, answers, scores, intervals)
    for line in describe_decision(decided):
        console.result(line, markup=False)
    console.written(folder, files)
    return folder


def print_document(
    content: dict[str, Any],
    classifier: Classifier,
    source: Source,
    rows: list[PredictionRow],
    probabilities: Any,
    settings: InferSettings,
    files: Sequence[str] = (),
) -> None:
    """Print the JSON document of --json; its keys are in docs/use.md.

    Args:
        content: of inference_summary.json.
    """
    if not is_json():
        return
    names = classifier.class_names
    top = None
    if source.is_picture:
        order = likeliest(probabilities[0], settings.top_k)
        top = [{"class": names[i], "probability": float(probabilities[0][i])} for i in order]
    print_json(
        content
        | {
            "predictions": prediction_objects(rows, names),
            "top": top,
            "files": list(files),
            "warnings": list(source.warnings),
        }
    )


def likeliest(probabilities_C: Any, top_k: int) -> Any:
    """Indices of the likeliest classes, the likeliest first."""
    return np.argsort(-probabilities_C, kind="stable")[:top_k]


def prediction_rows(
    source: Source, answers: Answers, probabilities: Any, decision: Decision
) -> list[PredictionRow]:
    """One row per image, in the order of the dataset."""
    position = {index: row for row, index in enumerate(answers.indices.tolist())}
    rows = []
    for index in range(len(source.dataset)):
        true = int(source.dataset.labels[index]) if source.labelled else None
        name = source.dataset.name(index)
        if index in answers.unreadable:
            rows.append(PredictionRow(name, None, true, None, answers.unreadable[index]))
            continue
        chances = probabilities[position[index]]
        best = int(chances.argmax())
        row = PredictionRow(name, best, true, float(chances[best]))
        if decision.max_error is not None:
            row.accepted = decision.accepts(float(chances[best]))
        row.class_set = decision.class_set(chances.tolist())
        rows.append(row)
    return rows


def write_files(
    folder: Path,
    classifier: Classifier,
    source: Source,
    answers: Answers,
    rows: list[PredictionRow],
    scores: Scores | None,
    intervals: Intervals | None,
    further: dict[str, Any],
) -> list[str]:
    """Write the files of the inference; returns their names.

    Args:
        further: more content of inference_summary.json.
    """
    names = classifier.class_names
    write_text(folder / "inference_results.csv", format_predictions(rows, names))
    summary = summarize(classifier, source, answers, scores, intervals) | further
    save_json(folder / "inference_summary.json", summary)
    files = ["inference_results.csv", "inference_summary.json"]
    if scores is None:
        return files
    write_text(folder / "classification_report.csv", format_report(scores))
    draw_matrix(
        folder, names, scores, ConfusionMatrixConfig(**classifier.config["confusion_matrix"])
    )
    tables = ["classification_report.csv", "confusion_matrix.csv"]
    return [*files, *tables, "confusion_matrix.png"]


def draw_matrix(
    folder: Path, class_names: list[str], scores: Scores, style: ConfusionMatrixConfig
) -> None:
    """Write confusion_matrix.csv and .png."""
    from pochitrain.report.confusion_matrix import draw_confusion_matrix  # loads matplotlib

    table = folder / "confusion_matrix.csv"
    write_text(table, format_confusion(torch.from_numpy(scores.confusion), class_names))
    draw_confusion_matrix(table, folder / "confusion_matrix.png", style)


def summarize(
    classifier: Classifier,
    source: Source,
    answers: Answers,
    scores: Scores | None,
    intervals: Intervals | None,
) -> dict[str, Any]:
    """Content of inference_summary.json. Times do not include the first batch (warm-up)."""
    timed = answers.timed
    return {
        "model": str(classifier.source),
        "backend": classifier.network.name,
        "device": str(classifier.network.device),
        "data": source.origin,
        "images": len(source.dataset),
        "unreadable": len(answers.unreadable),
        **({} if scores is None else scores.summary()),
        **({} if intervals is None else intervals.summary()),
        "forward_ms_per_image": 1000 * answers.forward_s / timed if timed else None,
        "end_to_end_ms_per_image": 1000 * answers.total_s / timed if timed else None,
        "forward_images_per_s": timed / answers.forward_s if timed else None,
        "images_per_s": timed / answers.total_s if timed else None,
        "timed_images": timed,
    }


def print_one(
    console: PrintableConsole,
    classifier: Classifier,
    answers: Answers,
    probabilities: Any,
    settings: InferSettings,
) -> None:
    """Print the likeliest classes of a single image.

    Raises:
        ConfigError: if it could not be read.
    """
    if answers.unreadable:
        raise ConfigError(f"--data {settings.data}: {answers.unreadable[0]}.")
    order = likeliest(probabilities[0], settings.top_k)
    names = {i: printable(classifier.class_names[i]) for i in order}
    width = max(map(cell_len, names.values()))
    for i in order:
        bar = "█" * round(40 * probabilities[0][i])
        name = set_cell_size(names[i], width)
        console.result(f"{name}  {100 * probabilities[0][i]:6.2f} %  {bar}", markup=False)


def print_summary(
    console: PrintableConsole,
    classifier: Classifier,
    source: Source,
    answers: Answers,
    scores: Scores | None,
    intervals: Intervals | None,
) -> None:
    """Print model, data, scores and speed."""

    def print_plain(text: str) -> None:
        console.print(text, markup=False)

    def print_score(text: str) -> None:
        console.result(text, markup=False)

    print_plain(f"model     {classifier.source} ({classifier.network.name})")
    print_plain(f"data      {source.origin}: {len(source.dataset):,} pictures")
    for note in source.warnings:
        console.warn(f"Warning: {note}")
    for index, reason in sorted(answers.unreadable.items()):
        console.warn(f"unreadable  {source.dataset.name(index)}: {reason}")
    if broken := int((~torch.isfinite(answers.logits)).any(dim=1).sum()):
        console.warn(f"not finite  {broken:,} predictions are NaN: the weights are broken")
    if scores is not None:
        print_score(
            f"accuracy  {scores.accuracy:.2f} %, top {scores.k} {scores.top_k_accuracy:.2f} %"
        )
        print_score(
            f"balanced  {scores.balanced_accuracy:.2f} %, macro F1 {scores.macro.f1_score:.4f}, "
            f"calibration error {scores.expected_calibration_error:.4f}"
        )
        print_plain(f"metrics   {', '.join(scores.shown())}")
    if intervals is not None:
        print_score(f"95 %      accuracy {intervals.describe()}")
    if answers.timed:
        forward, total = answers.timed / answers.forward_s, answers.timed / answers.total_s
        print_plain(f"speed     {total:.1f} images/s end to end, {forward:.1f} forward only")
