"""What the best model of a run says about the images of its fold, and, once, about the test images.

Both are asked the way `pochi infer` asks, with the weights of `models/best.pth`.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from numpy.typing import NDArray
from omegaconf import DictConfig

from pochitrain.atomic import write_text
from pochitrain.console import PrintableConsole
from pochitrain.data.dataset import DataSplits, ImageDataset, groups_of
from pochitrain.data.twins import find_twins
from pochitrain.engine.state import TrainState
from pochitrain.error import DataError
from pochitrain.inference.classifier import Classifier, load_classifier
from pochitrain.inference.interval import KEY, compute_intervals
from pochitrain.inference.score import score
from pochitrain.inference.stream import classify
from pochitrain.inference.table import save_json
from pochitrain.run.metric import saved_metrics
from pochitrain.text import format_csv, read_object, restore_cell

VAL_PREDICTIONS = "val_predictions.csv"
TEST_PREDICTIONS = "test_predictions.csv"
TEST_METRICS = "test_metrics.json"
FILES = (VAL_PREDICTIONS, TEST_METRICS, TEST_PREDICTIONS)

COLUMNS = ("image_path", "fold", "true", "true_class", "predicted", "predicted_class", "correct")
CHANCE = "p_"
"""Before the name of a class: the column of its probability."""

COMPARED = "kept back, since the jobs of a multirun are compared, so none of them is tested"


@dataclass
class Predictions:
    """What a model says about N labelled images of C classes."""

    class_names: list[str]
    labels: NDArray[np.int64]
    """The true classes, shape (N,)."""
    probabilities: NDArray[np.float64]
    """Shape (N, C); rows sum to 1."""
    images: list[str] = field(default_factory=list)
    """The name of each image, where it is wanted."""


def is_tested(cfg: DictConfig) -> bool:
    """Whether this run tests its best model: only one that is not compared with others does."""
    compared = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
    return not cfg.optuna.enabled and not compared


def judge_best(cfg: DictConfig, data: DataSplits, state: TrainState, folder: Path) -> str:
    """Write the predictions of a fold, and test the best model if this run may.

    A run that is resumed after its end asks again only if its best model is another one.

    Returns:
        A line about the test for the terminal; empty without one.

    Raises:
        DataError: if an image cannot be read any more.
    """
    is_fold = cfg.data.get("num_folds") is not None and not cfg.optuna.enabled
    is_test = data.test is not None and is_tested(cfg)
    if state.best is None or not (is_fold or is_test):
        return ""
    known = read_test(folder)
    asked = {"epoch": state.best.epoch, "monitor": state.monitor.metric, "value": state.best.value}
    is_new = known.get("best") != asked
    if not is_fold and not is_new:
        return describe_test(known)
    classifier = load_classifier(folder, cfg.device, list(cfg.allow_targets))
    if is_fold and data.val is not None:
        found = predict(classifier, data.val, cfg)
        write_predictions(folder / VAL_PREDICTIONS, found, data.val, int(cfg.data.fold))
    if not is_test or data.test is None:
        return ""
    if is_new:
        num_seen = count_seen(data)
        known = test_best(classifier, data.test, cfg, asked, folder, known, num_seen)
    return describe_test(known)


def count_seen(data: DataSplits) -> int | None:
    """Number of test images that are in training or validation too, under another name.

    None where that is not known, see `find_twins`.
    """
    assert data.test is not None
    sides = [side for side in (data.train, data.val) if side is not None]
    twins = [find_twins(side, data.test) for side in sides]
    if None in twins:
        return None
    return len({position for found in twins if found for position in found.positions})


def test_best(
    classifier: Classifier,
    dataset: ImageDataset,
    cfg: DictConfig,
    best: dict[str, Any],
    folder: Path,
    before: dict[str, Any],
    num_seen: int | None,
) -> dict[str, Any]:
    """Test the model, and write its predictions and test_metrics.json; returns the latter.

    Args:
        best: which model it is.
        before: the result of an earlier test in this run, which is kept in the file.
        num_seen: see `count_seen`.
    """
    found = predict(classifier, dataset, cfg)
    metrics = saved_metrics(classifier, [])
    scores = score(found.probabilities, found.labels, found.class_names, metrics=metrics)
    groups = groups_of(dataset)
    intervals = compute_intervals(found.probabilities, found.labels, scores, groups)
    earlier = [{key: value for key, value in before.items() if key != "earlier"}] if before else []
    content = {
        "model": str(classifier.source.relative_to(folder)),
        "best": best,
        "images": len(dataset),
        "images_seen_before": num_seen,
        **scores.summary(),
        **intervals.summary(),
        "earlier": [*before.get("earlier", []), *earlier],
    }
    write_predictions(folder / TEST_PREDICTIONS, found, dataset, None)
    save_json(folder / TEST_METRICS, content)
    return content


def read_test(folder: Path) -> dict[str, Any]:
    """The content of test_metrics.json; empty if the run has not been tested."""
    return read_object(folder / TEST_METRICS)


def describe_test(content: dict[str, Any]) -> str:
    """The result of the test in one line."""

    def show(key: str, form: str) -> str:
        return "not a number" if content[key] is None else form.format(content[key])

    ends = (content.get(KEY) or {}).get("accuracy")  # absent in files of version 1.2
    between = "" if not ends else f" (95 % interval {ends[0]:.2f} to {ends[1]:.2f} %)"
    again = len(content["earlier"])
    note = f" (test number {again + 1} of this run)" if again else ""
    seen = content.get("images_seen_before")
    which = " that were kept for it" if seen is None else " that nothing else has seen"
    if seen:
        which = f", {seen:,} of which are in training or validation too"
    return (
        f"Test of the best model on {content['images']:,} pictures{which}: "
        f"accuracy {show('accuracy', '{:.2f} %')}{between}, "
        f"balanced accuracy {show('balanced_accuracy', '{:.2f} %')}, "
        f"macro F1 {show('macro_f1_score', '{:.4f}')}{note}"
    )


def predict(classifier: Classifier, dataset: ImageDataset, cfg: DictConfig) -> Predictions:
    """The probabilities of all images of `dataset`.

    Raises:
        DataError: if one of them cannot be read.
    """
    batch_size = int(cfg.data.get("batch_size", cfg.batch_size))
    answers = classify(classifier, dataset, batch_size, cfg.data.get("num_workers"))
    for index, reason in sorted(answers.unreadable.items()):
        raise DataError(f"{dataset.name(index)} cannot be judged: {reason}.")
    # Not classifier.probabilities: what a training says does not depend on a later calibration.
    chances = torch.softmax(answers.logits.double(), dim=1).numpy()
    labels = np.asarray(dataset.labels, np.int64)
    images = [dataset.name(index) for index in range(len(dataset))]
    return Predictions(classifier.class_names, labels, chances, images)


def write_predictions(
    path: Path, found: Predictions, dataset: ImageDataset, fold: int | None
) -> None:
    """Write a row per image, with every digit of its probabilities."""
    names = found.class_names

    def rows() -> Iterator[list[object]]:
        for index, chances in enumerate(found.probabilities):
            true, best = int(found.labels[index]), int(chances.argmax())
            image = [dataset.name(index), fold, true, names[true], best, names[best], true == best]
            yield [*image, *chances.tolist()]

    write_text(path, format_csv(header_of(names), rows()))


def format_header(class_names: list[str]) -> str:
    """The first line of a file of predictions."""
    return format_csv(header_of(class_names), [])


def header_of(class_names: list[str]) -> list[str]:
    return [*COLUMNS, *(CHANCE + name for name in class_names)]


def read_predictions(path: Path) -> Predictions:
    """What `write_predictions` has written.

    Raises:
        OSError: if the file cannot be read.
        ValueError, IndexError, StopIteration: if it is not such a file.
    """
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        names = [cell.removeprefix(CHANCE) for cell in next(reader)[len(COLUMNS) :]]
        rows = [(row[0], int(row[2]), list(map(float, row[len(COLUMNS) :]))) for row in reader]
    labels = np.array([label for _, label, _ in rows], np.int64)
    chances = np.array([chances for _, _, chances in rows], np.float64)
    return Predictions(names, labels, chances, [restore_cell(image) for image, _, _ in rows])


def print_judgement(
    console: PrintableConsole, cfg: DictConfig, data: DataSplits, line: str
) -> None:
    """Print the result of the test, or that there was none."""
    if line:
        console.result(line, style="bold", markup=False)
    elif data.test is not None and not is_tested(cfg):
        console.print(f"Test: {len(data.test):,} pictures are {COMPARED}.")
