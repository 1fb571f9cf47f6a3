"""The summary of a cross-validation: a multirun over `data.fold`.

It is made from the files of the runs, so it is the same whether they ran in this process, in
others, or before an interruption.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
from omegaconf import DictConfig

from pochitrain.atomic import write_text
from pochitrain.config.component import plain
from pochitrain.config.insight import ConfusionMatrixConfig
from pochitrain.console import PrintableConsole, open_console
from pochitrain.error import PochiError
from pochitrain.inference.score import Scores, score
from pochitrain.inference.table import format_report, save_json
from pochitrain.paths import make_numbered_directory
from pochitrain.run.infer import draw_matrix
from pochitrain.run.judge import (
    COMPARED,
    VAL_PREDICTIONS,
    Predictions,
    format_header,
    read_predictions,
)
from pochitrain.run.metric import metrics_of_names
from pochitrain.run.resume.find import find_run_of
from pochitrain.run.status import read_status
from pochitrain.search.grid import GridJob, is_fold
from pochitrain.text import format_csv

NAME = "folds"
"""Of the directory of a summary, beside the runs; then folds_002, ..."""
SHOWN = ("accuracy", "balanced_accuracy", "macro_f1_score")


@dataclass
class Fold:
    """One run of a cross-validation."""

    fold: int
    run: Path
    epoch: int
    """Of its best model."""
    found: Predictions
    """Of that model, on the images of the fold."""
    text: str
    """The file they were read from."""


def summarize_folds(jobs: Sequence[GridJob]) -> list[Path]:
    """Write a summary for every setting of a grid that was trained on several folds.

    Returns:
        The directories written.

    Raises:
        PochiError: if the results of a run are not there.
    """
    console = open_console()
    settings: dict[tuple[str, ...], list[GridJob]] = defaultdict(list)
    for job in jobs:
        if job.cfg.data.get("num_folds") is not None and not job.cfg.optuna.enabled:
            settings[tuple(w for w in job.overrides if not is_fold(w))].append(job)
    written = []
    for overrides, group in settings.items():
        once = {int(job.cfg.data.fold): job for job in group}
        if len(once) > 1:
            folds = [read_fold(once[fold]) for fold in sorted(once)]
            if len(settings) > 1:
                console.result(f"\nFolds of {' '.join(overrides)}", markup=False)
            written.append(write_summary(folds, group[0], console))
    return written


def read_fold(job: GridJob) -> Fold:
    """The result of the run of a job.

    Raises:
        PochiError: if there is no such run, or it has no predictions.
    """
    number = int(job.cfg.data.fold)
    run = find_run_of(job.cfg, job.folders(), job.overrides, job.aliases)
    if run is None:
        raise PochiError(
            f"There is no summary of the folds: no finished run of fold {number} with the config "
            f"of this command was found below {job.parent}."
        )
    path = run / VAL_PREDICTIONS
    try:
        found, text = read_predictions(path), path.read_bytes().decode()
        epoch = int(read_status(run)["best"]["epoch"])
    except (OSError, ValueError, IndexError, StopIteration, KeyError, TypeError) as error:
        raise PochiError(
            f"There is no summary of the folds: {path} cannot be used ({error!r}). The run of fold "
            f"{number} gave no model, or its files were changed."
        ) from error
    return Fold(number, run, epoch, found, text)


def write_summary(folds: Sequence[Fold], job: GridJob, console: PrintableConsole) -> Path:
    """Write and print the summary of some folds of one setting; returns its directory."""
    cfg = job.cfg
    folder = make_numbered_directory(job.parent, NAME, digits=3)
    names = folds[0].found.class_names
    scores = [score_of(fold.found, cfg) for fold in folds]
    pooled = score_of(pool([fold.found for fold in folds]), cfg)
    overrides = [word for word in job.overrides if not is_fold(word)]
    content = {
        "overrides": overrides,
        **summarize(folds, scores, pooled, int(cfg.data.num_folds)),
    }
    save_json(folder / "folds.json", content)
    write_text(folder / "folds.csv", format_table(content))
    header = format_header(names)
    rows = (fold.text.removeprefix(header) for fold in folds)
    write_text(folder / "out_of_fold.csv", "".join([header, *rows]))
    write_text(folder / "classification_report.csv", format_report(pooled))
    style = ConfusionMatrixConfig(**plain(cfg.confusion_matrix))
    draw_matrix(folder, names, pooled, style)
    print_summary(console, content, folder)
    if cfg.data.get("test_fraction") or cfg.data.get("test_root"):
        advice = "Train the chosen setting once, without --multirun."
        console.print(f"Test: {COMPARED}. {advice}")
    return folder


def score_of(found: Predictions, cfg: DictConfig) -> Scores:
    metrics = metrics_of_names(cfg.metrics.names)
    return score(found.probabilities, found.labels, found.class_names, metrics=metrics)


def pool(parts: Sequence[Predictions]) -> Predictions:
    """The predictions of all folds, one after another."""
    return Predictions(
        parts[0].class_names,
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.probabilities for part in parts]),
    )


def summarize(
    folds: Sequence[Fold], scores: Sequence[Scores], pooled: Scores, num_folds: int
) -> dict[str, Any]:
    """Content of folds.json, apart from the overrides.

    `std` is the sample standard deviation, which divides by the number of folds - 1. `pooled` are
    the scores of all out-of-fold predictions taken together.
    """
    each = [found.summary() for found in scores]
    keys = list(each[0])
    return {
        "num_folds": num_folds,
        "complete": [fold.fold for fold in folds] == list(range(num_folds)),
        "images": sum(len(fold.found.labels) for fold in folds),
        "mean": {key: fmean(one[key] for one in each) for key in keys},
        "std": {key: spread([one[key] for one in each]) for key in keys},
        "pooled": pooled.summary(),
        "folds": [
            {
                "fold": fold.fold,
                "run": str(fold.run),
                "best_epoch": fold.epoch,
                "images": len(fold.found.labels),
                **one,
            }
            for fold, one in zip(folds, each, strict=True)
        ],
    }


def spread(values: Sequence[float]) -> float:
    """The sample standard deviation; NaN if a value is no finite number."""
    return stdev(values) if all(map(math.isfinite, values)) else math.nan


def format_table(content: dict[str, Any]) -> str:
    """Text of folds.csv: a row per fold, then mean, std and pooled."""
    keys = list(content["mean"])
    rows = [
        [one["fold"], one["images"], one["best_epoch"], *(one[k] for k in keys)]
        for one in content["folds"]
    ]
    for name in ("mean", "std", "pooled"):
        images = content["images"] if name == "pooled" else None
        rows.append([name, images, None, *(content[name][key] for key in keys)])
    return format_csv(["fold", "images", "best_epoch", *keys], rows)


def print_summary(console: PrintableConsole, content: dict[str, Any], folder: Path) -> None:
    """Print the scores of the folds, their mean ± standard deviation, and what was written."""

    def print_plain(text: str) -> None:
        console.result(text, markup=False)

    num, of = len(content["folds"]), content["num_folds"]
    missing = "" if content["complete"] else f" ({num} of {of}: not every picture was predicted)"
    print_plain(f"\n{num} folds{missing}, {content['images']:,} pictures")
    print_plain(f"{'fold':<8}{'pictures':>10}{'epoch':>7}" + "".join(f"{k:>20}" for k in SHOWN))
    for one in content["folds"]:
        cells = "".join(f"{one[key]:>20.4f}" for key in SHOWN)
        print_plain(f"{one['fold']:<8}{one['images']:>10,}{one['best_epoch']:>7}{cells}")
    spread = [f"{content['mean'][key]:.4f} ± {content['std'][key]:.4f}" for key in SHOWN]
    print_plain(f"{'mean ± standard deviation':<25}" + "".join(f"{text:>20}" for text in spread))
    pooled = "".join(f"{content['pooled'][key]:>20.4f}" for key in SHOWN)
    print_plain(f"{'all together':<25}{pooled}")
    files = "  ".join(sorted(path.name for path in folder.iterdir()))
    print_plain(f"Written to {folder}:\n  {files}")
