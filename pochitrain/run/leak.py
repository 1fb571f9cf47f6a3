"""Validation pictures that are in training too: they make a model look better than it is."""

import csv
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pochitrain.atomic import write_text
from pochitrain.data.cache_plan import locate
from pochitrain.data.dataset import DataSplits, ImageDataset
from pochitrain.data.twins import Twins, find_twins
from pochitrain.engine.state import TrainState
from pochitrain.engine.trainer import LEFT_OUT_COLUMN
from pochitrain.error import ConfigError
from pochitrain.text import first_line, format_csv

TABLE = "leaked_pictures.csv"
"""In the run directory: which these are. A resumed run reads it and does not look again."""


_of_last_trial: list[tuple[Any, Twins]] = []
"""Files of both sides, and what was found."""


def find_leaks(data: DataSplits, in_search: bool = False) -> Twins | None:
    """The leaked pictures; None without validation, and where looking would take long.

    Args:
        in_search: take the answer of the trial before where it had the same files: with 3,000 of
            them, looking takes about a twentieth of a trial on features.
    """
    if data.val is None:
        return None
    if not in_search:
        return find_twins(data.train, data.val)
    files = identify_files(data.train), identify_files(data.val)
    if None in files:
        return find_twins(data.train, data.val)
    if _of_last_trial and _of_last_trial[0][0] == files:
        return _of_last_trial[0][1]
    found = find_twins(data.train, data.val)
    _of_last_trial[:] = [] if found is None else [(files, found)]
    return found


def identify_files(dataset: ImageDataset) -> tuple[str, bytes, bytes] | None:
    """What tells the files of one side from others, without looking at them; None without files."""
    base, positions = locate(dataset)
    if base is None:
        return None
    chosen = b"" if positions is None else positions.tobytes()
    return os.path.abspath(base.paths.prefix), base.paths.text, chosen


def describe_leaks(twins: Twins | None) -> dict[str, str]:
    """A row for the summary at the start; none where nobody has looked."""
    if twins is None:
        return {}
    text = f"{len(twins.positions):,} of {twins.num_val:,} validation pictures are in training too"
    if twins.positions:
        text += f" ({len(twins.same):,} the same, {len(twins.alike):,} nearly the same)"
    return {"leaks": text}


def warn_of_leaks(twins: Twins | None, data: DataSplits) -> list[str]:
    """A warning that names one of them."""
    if twins is None or not twins.positions or data.val is None:
        return []
    first = twins.positions[0]
    twin = {**twins.alike, **twins.same}[first]
    return [
        f"{len(twins.positions):,} validation pictures are in training too, so val_accuracy is too "
        f"high: {data.val.name(first)} is {data.train.name(twin)}. {TABLE} lists them, the summary "
        "has the accuracy without them, and pochi data check shows all of them."
    ]


def save_leaks(folder: Path, twins: Twins | None, data: DataSplits) -> None:
    """Write the table; nothing without leaked pictures."""
    if twins is None or not twins.positions or data.val is None:
        return
    all_twins = {**twins.alike, **twins.same}
    rows = [
        (i, data.val.name(i), data.train.name(all_twins[i]), "same" if i in twins.same else "alike")
        for i in twins.positions
    ]
    header = ("position", "validation_picture", "training_picture", "how")
    write_text(folder / TABLE, format_csv(header, rows))


def load_leaks(folder: Path, data: DataSplits) -> Tensor | None:
    """True for each leaked validation picture, bool, shape (N,); None if the run has none.

    Raises:
        ConfigError: if the table was changed.
    """
    path = folder / TABLE
    if data.val is None or not path.is_file():
        return None
    try:
        with open(path, encoding="utf-8", newline="") as file:
            positions = [int(row["position"]) for row in csv.DictReader(file)]
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{path} must be as the training has written it, got a file that was changed "
            f"({first_line(error)}). Without it, no pictures are left out: delete it."
        ) from None
    leaked = torch.zeros(len(data.val), dtype=torch.bool)
    leaked[[position for position in positions if position < len(leaked)]] = True
    return leaked


def describe_end(state: TrainState) -> str | None:
    """The accuracy of the best epoch without leaked pictures; None if there are none."""
    if state.best is None:
        return None
    record = state.history[state.best.epoch - 1]
    without = record.extra.get(LEFT_OUT_COLUMN)
    if without is None or record.val_accuracy is None:
        return None
    return (
        f"Without the validation pictures that are in training too: accuracy {without:.2f} % "
        f"(with them {record.val_accuracy:.2f} %)"
    )
