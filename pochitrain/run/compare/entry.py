"""One run (or cross-validation) as it is compared: its config, and what it says about pictures."""

import hashlib
import json
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf

from pochitrain.atomic import write_text
from pochitrain.console import PrintableConsole
from pochitrain.data.dataset import ImageDataset, groups_of
from pochitrain.data.group import groups_of_paths
from pochitrain.error import ConfigError, PochiError
from pochitrain.inference.classifier import Classifier, load_classifier
from pochitrain.inference.source import open_validation, training_folder
from pochitrain.run.compare.find import OUT_OF_FOLD, is_cross_validation, read_folds, runs_of_folds
from pochitrain.run.judge import (
    VAL_PREDICTIONS,
    Predictions,
    predict,
    read_predictions,
    write_predictions,
)
from pochitrain.run.resume.find import load_config
from pochitrain.run.status import read_status
from pochitrain.text import format_json

KEPT = "val_predictions.json"
"""Of which model val_predictions.csv is, beside it."""
UNREADABLE = (OSError, ValueError, IndexError, StopIteration)


@dataclass
class Entry:
    """A run, or all folds of a cross-validation as one."""

    name: str
    folder: Path
    config: dict[str, Any]
    """Resolved, nested."""
    epochs: int | None
    """Number of epochs that its best one was chosen from; None for folds."""
    best_epoch: int | None
    status: str
    found: Predictions | None
    """On its validation pictures; None if they cannot be had."""
    pictures: list[str] = field(default_factory=list)
    """What each picture is found by, the same in every run; as many as `found` has."""
    groups: NDArray[np.str_] | None = None
    """Group of each picture; None if they are independent."""
    note: str = ""
    """Why there are no predictions, or what they lack."""

    @property
    def accuracy(self) -> float | None:
        """Percent, of the predictions."""
        if self.found is None:
            return None
        return 100 * float((self.predicted == self.found.labels).mean())

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Predicted classes, shape (N,)."""
        assert self.found is not None
        said: NDArray[np.int64] = self.found.probabilities.argmax(axis=1)
        return said


@dataclass
class EntrySettings:
    """How models are run."""

    device: str | None = None
    allow: Sequence[str] = ()


def load_entries(
    folders: Sequence[Path], settings: EntrySettings, console: PrintableConsole
) -> list[Entry]:
    """Read every run; where its predictions are not known yet, its best model makes them."""
    names = [path.absolute().name for path in folders]
    twice = {name for name in names if names.count(name) > 1}
    entries = []
    for path, name in zip(folders, names, strict=True):
        shown = str(path) if name in twice else name
        if is_cross_validation(path):
            entries.append(load_folds(path, shown))
        else:
            entries.append(load_run(path, shown, settings, console))
    return entries


def load_run(path: Path, name: str, settings: EntrySettings, console: PrintableConsole) -> Entry:
    """A run with its predictions, or with a note on why there are none.

    Raises:
        ConfigError: if its config is damaged.
    """
    status = read_status(path)
    best = status.get("best") or {}
    words = str(status.get("status", "unknown"))
    entry = Entry(
        name, path, load_config(path), status.get("epoch"), best.get("epoch"), words, None
    )
    try:
        entry.found, entry.groups = validation_predictions(path, settings, console)
    except PochiError as error:
        entry.note = str(error)
        return entry
    entry.pictures = locate(entry.found.images, path)
    return entry


def load_folds(path: Path, name: str) -> Entry:
    """A cross-validation: every picture as the model says that was not trained on it.

    Raises:
        ConfigError: if its files are damaged.
    """
    runs = [run for run in runs_of_folds(path) if (run / "config.yaml").is_file()]
    config = load_config(runs[0]) if runs else {}
    with suppress(KeyError, TypeError):
        del config["data"]["fold"]
    content = read_folds(path)
    words = f"{len(content.get('folds', []))} folds"
    try:
        found = read_predictions(path / OUT_OF_FOLD)
    except UNREADABLE as error:
        raise ConfigError(f"{path / OUT_OF_FOLD} is damaged ({error!r}).") from error
    pictures = locate(found.images, runs[0] if runs else path)
    groups, note = groups_of_folds(found.images, config)
    return Entry(name, path, config, None, None, words, found, pictures, groups, note)


def groups_of_folds(
    images: list[str], config: dict[str, Any]
) -> tuple[NDArray[np.str_] | None, str]:
    """The groups of the pictures of a cross-validation, and a note where they are not known."""
    data = config.get("data") or {}
    pattern, root = data.get("group_by"), data.get("train_root")
    if pattern is None:
        return None, ""
    if root is not None:
        with suppress(ConfigError, re.error):
            return np.array(groups_of_paths(images, root, pattern)), ""
    return None, "its groups are not known here: its interval is too narrow"


def validation_predictions(
    run: Path, settings: EntrySettings, console: PrintableConsole
) -> tuple[Predictions, NDArray[np.str_] | None]:
    """The predictions of the best model on its validation pictures, and the groups of these.

    They are kept in the run directory, if it can be written to, and used again while the model is
    the same.

    Raises:
        ConfigError: if the model or its pictures cannot be used.
        DataError: if a picture cannot be read.
    """
    file, note = run / VAL_PREDICTIONS, run / KEPT
    digest = digest_of(run / "models" / "best.pth")
    with suppress(*UNREADABLE, KeyError, TypeError):
        known = json.loads(note.read_text(encoding="utf-8"))
        if known["model"] == digest and known["predictions"] == digest_of(file):
            found = read_predictions(file)
            groups = None if known["groups"] is None else np.array(known["groups"])
            return found, groups
    console.print(f"Classifying the validation pictures of {run} ...", markup=False)
    classifier, dataset = open_pictures(run, settings)
    cfg = OmegaConf.create(classifier.config)
    found = predict(classifier, dataset, cfg)
    groups = groups_of(dataset)
    fold = cfg.data.get("fold")
    with suppress(OSError):  # a directory of somebody else
        write_predictions(file, found, dataset, None if fold is None else int(fold))
        content = {
            "model": digest,
            "predictions": digest_of(file),
            "groups": None if groups is None else groups.tolist(),
        }
        write_text(note, format_json(content))
    return found, groups


def open_pictures(run: Path, settings: EntrySettings) -> tuple[Classifier, ImageDataset]:
    """The best model of a run, and its validation pictures.

    Raises:
        ConfigError: if the model cannot be loaded, or the pictures have moved or changed.
    """
    classifier = load_classifier(run, settings.device, list(settings.allow))
    return classifier, open_validation(classifier)


def digest_of(path: Path) -> str:
    """A hash of the content of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:32]


def locate(names: Sequence[str], run: Path) -> list[str]:
    """The absolute path of each picture, where its name is a path; else the name.

    A relative one is looked up from where the run was started, else from here.
    """
    started = training_folder(run / "models" / "best.pth")
    bases = [base for base in (started, Path()) if base is not None]
    for base in bases:
        if names and os.path.exists(base / names[0]):
            return [os.path.realpath(base / name) for name in names]
    return list(names)
