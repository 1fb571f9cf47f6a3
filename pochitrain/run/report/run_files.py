"""The files of a run directory, as far as they are there."""

import csv
import math
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf

from pochitrain.inference.interval import KEY
from pochitrain.run.compare.row import read_confusion
from pochitrain.run.judge import read_test
from pochitrain.run.leak import TABLE as LEAK_TABLE
from pochitrain.run.resume.find import load_config
from pochitrain.run.selection import FILE as OPTIMISM
from pochitrain.run.status import read_status
from pochitrain.text import read_object, restore_cell


@dataclass
class TestResult:
    """From test_metrics.json."""

    accuracy: float
    """Percent."""
    interval: tuple[float, float] | None
    num: int
    """Test pictures."""
    num_seen: int
    """Of these, how many are in training or validation too."""


@dataclass
class RunFiles:
    """What a run has left on disk; empty parts are not there."""

    folder: Path
    config: dict[str, Any]
    status: str
    """running, interrupted, failed or finished; empty if nobody knows."""
    epoch: int | None
    """Number of finished epochs."""
    best_epoch: int | None
    stop_reason: str
    environment: dict[str, Any]
    choices: dict[str, str]
    """Group -> option, of the command that started it."""
    typed: list[str]
    """Its overrides."""
    metrics: dict[str, list[float]] = field(default_factory=dict)
    """Column of training_metrics.csv -> values by epoch; NaN for an empty cell."""
    gradients: dict[str, list[float]] = field(default_factory=dict)
    """The same of gradient_trace.csv."""
    class_names: list[str] = field(default_factory=list)
    confusion: NDArray[np.int64] | None = None
    """Shape (C, C), rows = true class."""
    leaks: list[dict[str, str]] = field(default_factory=list)
    """Rows of leaked_pictures.csv."""
    test: TestResult | None = None
    untouched: tuple[str, float] | None = None
    """The monitored metric, and what pictures would show that nothing was chosen on."""

    def group(self, name: str) -> dict[str, Any]:
        """A node of the config; empty if it is none."""
        found = self.config.get(name)
        return found if isinstance(found, dict) else {}

    @property
    def counts(self) -> dict[str, Any]:
        """Numbers of pictures by class and split, see `data.dataset.count_pictures`."""
        found = self.environment.get("data")
        if not isinstance(found, dict):
            return {}
        kept = {name: found[name] for name in ("train", "val", "test") if is_counts(found, name)}
        num = found.get("unreadable")
        kept["unreadable"] = num if isinstance(num, int) else 0
        kept["division"] = str(found.get("division", ""))
        return kept if "train" in kept else {}


def is_counts(found: dict[str, Any], name: str) -> bool:
    counts = found.get(name)
    return isinstance(counts, list) and all(isinstance(count, int) for count in counts)


def read_run(folder: Path) -> RunFiles:
    """Read what is there.

    Raises:
        ConfigError: if its config.yaml is damaged.
    """
    hydra = folder / ".hydra"
    chosen = read_yaml(hydra / "hydra.yaml")
    choices = chosen.get("hydra", {}).get("runtime", {}).get("choices", {})
    typed = read_yaml(hydra / "overrides.yaml", [])
    names = read_class_names(folder / "confusion_matrix.csv")
    confusion = read_confusion(folder)
    status = read_status(folder)
    best = status.get("best")
    epochs = (status.get("epoch"), best.get("epoch") if isinstance(best, dict) else None)
    epoch, best_epoch = (one if isinstance(one, int) else None for one in epochs)
    return RunFiles(
        folder,
        load_config(folder),
        str(status.get("status", "")),
        epoch,
        best_epoch,
        str(status.get("stop_reason") or ""),
        read_object(folder / "environment.json"),
        {str(group): str(name) for group, name in choices.items() if name is not None},
        [str(word) for word in typed],
        read_columns(folder / "training_metrics.csv"),
        read_columns(folder / "gradient_trace.csv"),
        names if confusion is not None and len(confusion) == len(names) else [],
        confusion,
        read_rows(folder / LEAK_TABLE),
        test_result(read_test(folder)),
        read_optimism(folder / OPTIMISM),
    )


def test_result(found: dict[str, Any]) -> TestResult | None:
    """The result of the test; None if there was none, or its file was changed."""
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        ends = (found.get(KEY) or {}).get("accuracy")
        interval = None if ends is None else (float(ends[0]), float(ends[1]))
        accuracy, num = float(found["accuracy"]), int(found["images"])
        return TestResult(accuracy, interval, num, int(found.get("images_seen_before") or 0))
    return None


def read_optimism(path: Path) -> tuple[str, float] | None:
    """Monitored metric and its value on untouched pictures, from optimism.json."""
    found = read_object(path)
    with suppress(KeyError, TypeError, ValueError):
        return str(found["monitor"]), float(found["untouched"])
    return None


def read_yaml(path: Path, empty: Any = None) -> Any:
    """Plain content of a YAML file of Hydra's; `empty` ({} if None) where it is not usable."""
    empty = {} if empty is None else empty
    with suppress(Exception):  # YAML and OmegaConf have no common base class
        found = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
        return found if isinstance(found, type(empty)) else empty
    return empty


def read_columns(path: Path) -> dict[str, list[float]]:
    """A table of numbers by column; {} if it is missing or damaged."""
    with suppress(OSError, ValueError, StopIteration, csv.Error):
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            header = [restore_cell(cell) for cell in next(reader)]
            rows = [[float(cell) if cell else math.nan for cell in row] for row in reader]
        if rows and "epoch" in header and all(len(row) == len(header) for row in rows):
            return dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))
    return {}


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table; [] if it is missing or damaged."""
    with suppress(OSError, ValueError, csv.Error), path.open(encoding="utf-8", newline="") as file:
        return [
            {key: restore_cell(cell) for key, cell in row.items() if key and cell is not None}
            for row in csv.DictReader(file)
        ]
    return []


def read_class_names(path: Path) -> list[str]:
    """The classes of confusion_matrix.csv; [] without one."""
    with suppress(OSError, ValueError, csv.Error), path.open(encoding="utf-8", newline="") as file:
        return [restore_cell(name) for name in next(csv.reader(file), [])[1:]]
    return []
