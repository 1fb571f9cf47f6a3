"""The images to classify, with their true classes if these are known."""

import glob
import json
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf

from pochitrain.config.component import Components
from pochitrain.config.loader import LOADER_FIELDS
from pochitrain.data.dataset import DataSplits, ImageDataset, fingerprint, groups_of
from pochitrain.data.folder import (
    ImageFolderDataset,
    describe_loose,
    list_folders,
    list_images,
    match_classes,
)
from pochitrain.data.group import groups_of_paths
from pochitrain.data.index import EXTENSIONS
from pochitrain.data.table_file import is_table, open_table_file
from pochitrain.data.table_rows import LABEL, describe_missing, describe_repeated, read_rows
from pochitrain.error import ConfigError, require
from pochitrain.inference.classifier import Classifier, build

REMEDY = "Give pictures with --data DIR."


@dataclass
class Source:
    """The images of an inference."""

    dataset: ImageDataset
    labelled: bool
    """Whether `dataset.labels` are the true classes."""
    origin: str
    """Description for the summary: a path, or the validation data of the run."""
    warnings: list[str] = field(default_factory=list)
    is_picture: bool = False
    """Whether it is a single image, given as such."""
    groups: NDArray[np.str_] | None = None
    """Group of each image, by the rule or the column that the run was split by; None if there is
    no such rule, or it does not fit these images."""


def open_source(classifier: Classifier, data: str | None, table_root: str | None = None) -> Source:
    """The images below `data` or listed in it; None = the validation images of the training run.

    A folder is labelled if it has subfolders named like classes of the model, a table if it has a
    column of classes.

    Args:
        table_root: folder that relative paths in a table are looked up from; see `read_rows`.

    Raises:
        ConfigError: no such path, no images in it, unknown classes beside known ones, a table with
            mistakes, or validation data that has moved or changed.
    """
    is_listed = data is not None and is_table(data)
    rule = "left out without a table as --data"
    require(is_listed or table_root is None, "--root", rule, table_root)
    if data is None:
        dataset = open_validation(classifier)
        return Source(dataset, True, "validation data of the run", groups=groups_of(dataset))
    root = Path(data)
    if is_listed and not root.is_dir():
        return open_listed(classifier, data, table_root)
    if root.is_file():
        dataset = files_without_labels([str(root)], classifier)
        return Source(dataset, False, str(root), is_picture=True)
    if not root.is_dir():
        raise ConfigError(
            f"--data must be a folder, a picture or a table, got {data!r}: not there."
        )
    folders = list_folders(root)
    names = classifier.class_names
    matched = match_classes(folders, names)
    known = {name: found for name, found in matched.items() if found is not None}
    if not known:
        return Source(unlabelled(root, classifier), False, str(root))
    unknown = [name for name in folders if name not in known and list_images(root / name)]
    if unknown:
        raise ConfigError(
            f"--data must only hold classes of the model ({', '.join(names[:20])}), got "
            f"{', '.join(map(repr, unknown))} in {data!r}. Remove or rename the folder."
        )
    loose = describe_loose(root, "--data")
    dataset = label_files(root, known, classifier)
    pattern = (classifier.config.get("data") or {}).get("group_by")
    groups = None
    if isinstance(pattern, str):
        with suppress(ConfigError, re.error):  # these are no pictures of the kind trained on
            groups = np.array(groups_of_paths(dataset.paths, str(root), pattern))
    return Source(dataset, True, str(root), loose, groups=groups)


def open_listed(classifier: Classifier, table: str, root: str | None) -> Source:
    """The images of a table, in its order; with their classes, if it has a column of these.

    Columns have the names that the training run used, where they are there.

    Raises:
        ConfigError: for a table with mistakes, missing files or unknown classes.
    """
    node = classifier.config.get("data") or {}
    file = open_table_file(table, "--data", node.get("encoding") or "utf-8")
    given = {key: node.get(key) for key in ("image_column", LABEL)}
    image, label = (name if name in file.header else None for name in given.values())
    group = node.get("group_by")
    others = {"group_by": group if group in file.header else None}
    rows = read_rows(file, image, label, others, root)
    if len(rows.missing):
        raise ConfigError(describe_missing(rows))
    labels = np.full(len(rows), -1)
    is_labelled = any(rows.cells.get(LABEL, []))
    if is_labelled:
        names, cells = classifier.class_names, rows.column(LABEL)
        matched = match_classes(sorted(set(cells)), names)
        unknown = [i for i, cell in enumerate(cells) if matched[cell] is None]
        if unknown:
            raise ConfigError(
                f"--data must only hold classes of the model ({', '.join(names[:20])}), got "
                f"{rows.show(unknown, cells)}."
            )
        position = {cell: names.index(str(name)) for cell, name in matched.items()}
        labels = np.array([position[cell] for cell in cells])
    dataset = ImageFolderDataset(rows.paths, labels, classifier.background)
    cells = rows.cells.get("group_by", [])
    groups = np.array(cells) if cells and all(cells) else None
    return Source(dataset, is_labelled, table, describe_repeated(rows), groups=groups)


def unlabelled(root: Path, classifier: Classifier) -> ImageFolderDataset:
    """The images in a folder without class folders.

    Raises:
        ConfigError: if there are none.
    """
    paths = list_images(root)
    if not paths:
        raise ConfigError(no_pictures(root))
    return files_without_labels(paths, classifier)


def files_without_labels(paths: list[str], classifier: Classifier) -> ImageFolderDataset:
    """A dataset of image files of unknown class: all labels are -1."""
    return ImageFolderDataset(paths, [-1] * len(paths), classifier.background)


def no_pictures(root: Path) -> str:
    """The message for a folder without images."""
    return f"The folder must hold pictures ({' '.join(EXTENSIONS)}), got {str(root)!r} without any."


def open_validation(classifier: Classifier) -> ImageDataset:
    """The validation split, opened as in training.

    Raises:
        ConfigError: if the run had none, or the data has moved or changed.
    """
    config = classifier.config
    node = {key: value for key, value in config["data"].items() if key not in LOADER_FIELDS}
    if node.get("val_root") is not None:
        return open_validation_root(classifier, node["val_root"])
    if node.get("train_root") is not None:
        node["train_root"] = find_folder(node["train_root"], classifier.source, "data.train_root")
    if node.get("table") is not None:
        node["table"] = find_path(node["table"], classifier.source, "data.table", Path.is_file)
        if node.get("root") is not None:
            node["root"] = find_folder(node["root"], classifier.source, "data.root")
    for key in ("train_shards", "val_shards"):
        if node.get(key) is not None:
            node[key] = find_path(node[key], classifier.source, f"data.{key}", matches, glob.escape)
    if "test_root" in node:
        node["test_root"] = None  # it decides nothing about validation, and may be elsewhere
    if node.get("on_error") == "error":
        node["verify"] = (
            False  # training verified them; an image that cannot be read now is reported
        )
    parts = Components(OmegaConf.create(config), classifier.allow)
    data = build(parts, "data", node)
    if not isinstance(data, DataSplits):
        raise ConfigError(f"The run does not say where its pictures are. {REMEDY}")
    if data.val is None:
        raise ConfigError(f"The run was trained without validation pictures. {REMEDY}")
    if data.class_names != classifier.class_names:
        raise ConfigError(
            f"The classes of the data have changed since training: now {data.class_names[:20]}, "
            f"then {classifier.class_names[:20]}. {REMEDY}"
        )
    if classifier.fingerprint not in (None, fingerprint(data)):
        raise ConfigError(
            "The pictures have changed since training, so it is not known which of them were for "
            f"validation. {REMEDY}"
        )
    return data.val


def open_validation_root(classifier: Classifier, given: str) -> ImageDataset:
    """The images of data.val_root with the classes of the checkpoint; needs no training images.

    Unreadable images are not left out, so that they are reported.
    """
    root = Path(find_folder(given, classifier.source, "data.val_root"))
    folders = list_folders(root)
    matched = match_classes(folders, classifier.class_names)
    known = {name: found for name, found in matched.items() if found is not None}
    unknown = [name for name in folders if name not in known]
    if unknown:
        raise ConfigError(
            f"data.val_root of the run must only hold classes of the model, got "
            f"{', '.join(map(repr, unknown))} in {str(root)!r}. {REMEDY}"
        )
    return label_files(root, known, classifier)


def label_files(root: Path, folders: dict[str, str], classifier: Classifier) -> ImageFolderDataset:
    """The images in the folders of `root`, labelled.

    Args:
        folders: folder -> class name.

    Raises:
        ConfigError: if there are no images.
    """
    index = classifier.class_names.index
    files = [
        (path, index(class_name))
        for name, class_name in folders.items()
        for path in list_images(root / name)
    ]
    if not files:
        raise ConfigError(no_pictures(root))
    paths, labels = [path for path, _ in files], [label for _, label in files]
    return ImageFolderDataset(paths, labels, classifier.background)


def find_folder(folder: str, checkpoint: Path, key: str) -> str:
    """As `find_path`, for a folder."""
    return find_path(folder, checkpoint, key, Path.is_dir)


def matches(pattern: Path) -> bool:
    """Whether there is a path that matches, as `read_shards` reads it."""
    return bool(glob.glob(str(pattern), recursive=True))


def find_path(
    path: str,
    checkpoint: Path,
    key: str,
    is_there: Callable[[Path], bool],
    quote: Callable[[str], str] = str,
) -> str:
    """Find a path of the config, relative to where the run was started, else to here.

    Args:
        quote: what the folder has to go through before `path`, if that is a pattern.

    Raises:
        ConfigError: if it is in neither place; `key` is its key, for the message.
    """
    started = training_folder(checkpoint)
    for base in (started, Path()):
        if base is not None and is_there(found := Path(quote(str(base))) / path):
            return str(found)
    raise ConfigError(
        f"{key} of the run, {path!r}, is not there (looked from "
        f"{'' if started is None else f'{str(started)!r} and '}{os.getcwd()!r}). {REMEDY}"
    )


def training_folder(checkpoint: Path) -> Path | None:
    """The folder that the run was started from, according to environment.json; None without it."""
    for parent in list(checkpoint.resolve().parents)[:3]:
        with suppress(OSError, ValueError, KeyError, TypeError):
            metadata = json.loads((parent / "environment.json").read_text(encoding="utf-8"))
            return Path(metadata["folder"])
    return None
