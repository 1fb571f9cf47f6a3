"""In what the configs of runs differ, and which runs differ by nothing but their seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from string import ascii_uppercase
from typing import Any

from pochitrain.run.compare.entry import Entry
from pochitrain.run.resume.config import CHANGEABLE_BY_NAME, KeyPath, flatten, is_changeable

ABSENT = "(none)"
"""In the place of a value that a config does not have."""
SEED = "seed"
HIDDEN = ("resume", "allow_targets")
"""Keys of a command, not of a run."""
MAX_SHOWN = 60
"""Characters of a value in a table."""


@dataclass
class Setting:
    """Runs whose configs differ by nothing but the seed."""

    label: str
    """A, B, ..., Z, AA, ..."""
    entries: list[Entry]

    @property
    def accuracies(self) -> list[float]:
        """Percent, of the runs whose predictions are known."""
        return [entry.accuracy for entry in self.entries if entry.accuracy is not None]

    @property
    def mean_accuracy(self) -> float | None:
        return fmean(self.accuracies) if self.accuracies else None

    @property
    def spread(self) -> float | None:
        """Sample standard deviation of the accuracy over the runs; None of fewer than two."""
        return stdev(self.accuracies) if len(self.accuracies) > 1 else None


def group_by_setting(entries: Sequence[Entry]) -> list[Setting]:
    """Runs of one setting together, in the order in which the settings first appear."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(fingerprint(entry.config), []).append(entry)
    return [Setting(label_of(i), group) for i, group in enumerate(found.values())]


def label_of(index: int) -> str:
    """A to Z, then AA, AB, ..."""
    letters = len(ascii_uppercase)
    rest = ascii_uppercase[index % letters]
    return rest if index < letters else label_of(index // letters - 1) + rest


def fingerprint(config: Mapping[str, Any]) -> str:
    """The same for configs that can only give other results because of their seed."""
    kept = {
        path: value
        for path, value in flatten(config).items()
        if not is_seed(path) and matters(path)
    }
    return repr(sorted(kept.items(), key=repr))


def is_seed(path: KeyPath) -> bool:
    """The seed of the run, or of one of its parts (`data.seed`, which follows it by default)."""
    return path[-1] == SEED


def matters(path: KeyPath) -> bool:
    """Whether a key can change the result: where files go and how fast they load does not."""
    key = ".".join(path)
    return key == "epochs" or key in CHANGEABLE_BY_NAME or not is_changeable(path)


def differences(settings: Sequence[Setting]) -> dict[str, list[str]]:
    """Key -> its value in each setting, for the keys that differ between settings."""
    flat = [flatten(setting.entries[0].config) for setting in settings]
    keys = dict.fromkeys(path for values in flat for path in values)
    rows = {}
    for path in keys:
        if path[0] in HIDDEN or is_seed(path) or not matters(path):
            continue
        values = [show(one[path]) if path in one else ABSENT for one in flat]
        if len({repr(one.get(path, ABSENT)) for one in flat}) > 1:
            rows[".".join(path)] = values
    return rows


def show(value: Any) -> str:
    """A value of a config, as it would be typed."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def shorten(text: str) -> str:
    """At most MAX_SHOWN characters."""
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."
