"""Finds the runs and cross-validations that words of the command line name."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pochitrain.error import ConfigError
from pochitrain.text import read_object

MAX_DEPTH = 3
"""Folders below a given one in which runs are looked for."""
FOLDS, OUT_OF_FOLD = "folds.json", "out_of_fold.csv"


def find_runs(words: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The directories of runs and of summaries of folds, in the order given; folders by name.

    Returns:
        The directories, and notes on what was left out.

    Raises:
        ConfigError: if a word names nothing of that kind, or there is only one in all.
    """
    found: list[Path] = []
    notes: list[str] = []
    for word in words:
        path = Path(word)
        if path.suffix == ".pth" and path.parent.name == "models" and path.is_file():
            path = path.parent.parent
        if is_run(path) or is_cross_validation(path):
            require_model(path)
            found.append(path)
        else:
            found += search(path, word, notes)
    # The runs of a cross-validation are in its summary.
    parts = {os.path.realpath(run) for path in found for run in runs_of_folds(path)}
    unique: dict[str, Path] = {}
    for path in found:
        unique.setdefault(os.path.realpath(path), path)
    kept = [path for real, path in unique.items() if real not in parts]
    if len(kept) < 2:
        seen = ", ".join(map(repr, words))
        raise ConfigError(
            f"RUN must name at least two runs, got {seen}: {len(kept)} in all. Name several run "
            "directories, or a folder that holds some."
        )
    return kept, notes


def search(folder: Path, word: str, notes: list[str]) -> list[Path]:
    """The runs with a model below a folder.

    Raises:
        ConfigError: if there are none.
    """
    there = sorted(walk(folder, MAX_DEPTH)) if folder.is_dir() else []
    runs = [path for path in there if is_cross_validation(path) or has_model(path)]
    left_out = [path for path in there if path not in runs]
    if left_out:
        notes.append(
            f"{len(left_out):,} runs without a model (pruned, failed or not trained yet) are left "
            f"out: {', '.join(path.name for path in left_out[:5])}{', ...' * (len(left_out) > 5)}"
        )
    if not runs:
        seen = "a folder without runs" if folder.is_dir() else "which is not there"
        raise ConfigError(
            "RUN must be a run directory, a checkpoint in it, or a folder that holds runs, got "
            f"{word!r}, {seen}."
        )
    return runs


def walk(folder: Path, depth: int) -> Iterator[Path]:
    """The runs and cross-validations in a folder, not those inside of runs."""
    with suppress(OSError):
        for path in folder.iterdir():
            if not path.is_dir() or path.name.startswith("."):
                continue
            if is_run(path) or is_cross_validation(path):
                yield path
            elif depth > 1:
                yield from walk(path, depth - 1)


def is_run(path: Path) -> bool:
    return (path / "config.yaml").is_file() and (
        (path / "models").is_dir() or (path / "status.json").is_file()
    )


def has_model(path: Path) -> bool:
    return (path / "models" / "best.pth").is_file()


def is_cross_validation(path: Path) -> bool:
    return (path / FOLDS).is_file() and (path / OUT_OF_FOLD).is_file()


def require_model(path: Path) -> None:
    """Refuse a run that has no best model.

    Raises:
        ConfigError: naming it.
    """
    if not is_cross_validation(path) and not has_model(path):
        raise ConfigError(
            f"RUN must have a model to compare, got {str(path)!r} without models/best.pth: the run "
            "was pruned, failed, or has not finished an epoch."
        )


def read_folds(path: Path) -> dict[str, Any]:
    """The content of folds.json; empty if it is missing or damaged."""
    return read_object(path / FOLDS)


def runs_of_folds(path: Path) -> list[Path]:
    """The runs of a cross-validation that are there still, beside its summary or where they were.

    Their paths are relative to where the command was typed.
    """
    if not is_cross_validation(path):
        return []
    named = [Path(str(fold.get("run"))) for fold in read_folds(path).get("folds", [])]
    beside = (path.parent / run.name for run in named)
    return [near if is_run(near) else run for near, run in zip(beside, named, strict=True)]
