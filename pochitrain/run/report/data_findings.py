"""What `pochi data check` has found in the pictures of a run, if somebody has let it look."""

import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pochitrain.check.finding import KINDS
from pochitrain.paths import list_folders
from pochitrain.report.html_page import link_to
from pochitrain.run.data_check import PARENT
from pochitrain.run.report.run_files import RunFiles

ROOTS = ("train_root", "val_root")


@dataclass
class DataFindings:
    """The newest check of these pictures."""

    page: str
    """Its report.html, relative to the run directory; empty if that is gone."""
    folder: str
    kinds: list[tuple[str, int]]
    """Kind and number of findings, the most important first."""


def find_findings(run: RunFiles, images: list[str]) -> DataFindings | None:
    """The newest check in outputs/ where the run was started, or here; None without one.

    Args:
        images: names of the validation pictures, by which a check is recognized.
    """
    started = run.environment.get("folder")
    data = run.group("data")
    roots = tuple(f"{str(data[key]).rstrip('/')}/" for key in ROOTS if data.get(key))
    names = set(images)
    for base in dict.fromkeys([Path(started) if isinstance(started, str) else Path(), Path()]):
        for folder in list_folders(base / PARENT):
            found = read_findings(folder / "findings.json")
            paths = [path for one in found for path in one["paths"]]
            if any(path in names or (roots and path.startswith(roots)) for path in paths):
                return summarize(run, folder, found)
    return None


def summarize(run: RunFiles, folder: Path, found: list[dict[str, Any]]) -> DataFindings:
    counts = Counter(one["kind"] for one in found)
    page = folder / "report.html"
    link = link_to(page, run.folder) if page.is_file() else ""
    kinds = [(kind, counts[kind]) for kind in KINDS if counts[kind]]
    return DataFindings(link, folder.name, kinds)


def read_findings(path: Path) -> list[dict[str, Any]]:
    """The findings of a check; [] if the file is missing or damaged."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return [
            {"kind": str(one["kind"]), "paths": [str(path) for path in one["paths"]]}
            for one in found
        ]
    return []
