"""The files of an inference: predictions, report per class, summary."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pochitrain.atomic import write_text
from pochitrain.inference.score import Scores
from pochitrain.manner import without_nan
from pochitrain.text import format_csv, format_json

COLUMNS = (
    "image_path",
    "predicted",
    "predicted_class",
    "true",
    "true_class",
    "confidence",
    "correct",
)


@dataclass
class PredictionRow:
    """One image. `predicted` is None if it could not be read, `true` if it is not known."""

    image_path: str
    predicted: int | None
    true: int | None
    confidence: float | None
    error: str = ""
    accepted: bool | None = None
    """False: "unknown"; None: not asked."""
    class_set: list[int] | None = None
    """The classes that are possible, likeliest first; None: not asked."""


def format_predictions(rows: Sequence[PredictionRow], class_names: list[str]) -> str:
    """Text of inference_results.csv.

    It has the columns `accepted` and `class_set` (JSON) where they were asked for, and `error` if
    an image could not be read.
    """
    further = {
        "accepted": any(row.accepted is not None for row in rows),
        "class_set": any(row.class_set is not None for row in rows),
        "error": any(row.error for row in rows),
    }
    columns = [name for name, is_there in further.items() if is_there]
    header = [*COLUMNS, *columns]
    return format_csv(header, (cells(row, class_names, columns) for row in rows))


def prediction_objects(
    rows: Sequence[PredictionRow], class_names: list[str]
) -> list[dict[str, Any]]:
    """The rows of inference_results.csv as JSON objects: the same keys, None where not known."""
    return [
        {
            "image_path": row.image_path,
            "predicted": row.predicted,
            "predicted_class": None if row.predicted is None else class_names[row.predicted],
            "true": row.true,
            "true_class": None if row.true is None else class_names[row.true],
            "confidence": row.confidence,
            "correct": None if None in (row.true, row.predicted) else row.predicted == row.true,
            "accepted": row.accepted,
            "class_set": row.class_set and [class_names[index] for index in row.class_set],
            "error": row.error or None,
        }
        for row in rows
    ]


def cells(row: PredictionRow, class_names: list[str], further: Sequence[str]) -> list[object]:
    """The cells of a row of inference_results.csv, in the order of its columns."""
    known = row.true is not None and row.predicted is not None
    found: list[object] = [
        row.image_path,
        "" if row.predicted is None else row.predicted,
        "" if row.predicted is None else class_names[row.predicted],
        "" if row.true is None else row.true,
        "" if row.true is None else class_names[row.true],
        "" if row.confidence is None else f"{row.confidence:.6f}",
        row.predicted == row.true if known else "",
    ]
    names = [class_names[index] for index in row.class_set or ()]
    more = {
        "accepted": "" if row.accepted is None else row.accepted,
        "class_set": json.dumps(names, ensure_ascii=False) if names else "",
        "error": row.error,
    }
    return [*found, *(more[name] for name in further)]


def format_report(scores: Scores) -> str:
    """Text of classification_report.csv: a row per class, then macro avg and weighted avg."""
    rows = [*scores.classes, scores.macro, scores.weighted]
    return format_csv(
        ["class", "precision", "recall", "f1-score", "support"],
        ([r.name, r.precision, r.recall, r.f1_score, r.support] for r in rows),
    )


def save_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object. NaN and infinity, which JSON cannot represent, become null."""
    write_text(path, format_json(without_nan(content)))
