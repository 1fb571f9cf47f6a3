"""What a check finds, and how that is written down."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pochitrain.text import format_csv

KINDS = {
    "unreadable": "cannot be read",
    "exact_duplicate": "the same picture more than once",
    "near_duplicate": "nearly the same picture: recompressed, resized, cropped a little, mirrored",
    "label": "probably of another class",
    "tiny": "much smaller than the others",
    "huge": "much larger than the others",
    "blank": "one colour",
    "dark": "very dark",
    "bright": "very bright",
    "blurry": "very blurry",
    "odd_mode": "stored in a rare form",
    "odd_shape": "of a much more elongated shape than the others",
    "cut": "of which the transform cuts off a large part",
    "few_pictures": "classes with few pictures",
    "only_one_side": "classes without a picture in validation",
    "imbalance": "classes of very different size",
}
"""Kind -> what it says of the pictures, in the order in which people should look."""

NOTES = ("odd_mode", "cut", "few_pictures", "only_one_side", "imbalance")
"""Kinds that are worth knowing, but no mistake: `--strict` does not fail because of them."""


@dataclass(frozen=True)
class Finding:
    """Something that a person should look at."""

    kind: str
    """A key of KINDS."""
    images: tuple[int, ...]
    """Positions among all pictures of both sides; of a group of duplicates, all of them."""
    detail: str
    across_split: bool = False
    """Whether pictures of both sides belong to it."""
    drop: tuple[int, ...] = ()
    """Those of `images` that should be left out."""
    relabel: str | None = None
    """The class that the picture seems to be of."""

    @property
    def is_note(self) -> bool:
        return self.kind in NOTES


@dataclass
class Findings:
    """All findings of a check."""

    names: Sequence[str]
    """What a person finds each picture by (a path, for files)."""
    found: list[Finding] = field(default_factory=list)

    def add(
        self, kind: str, images: tuple[int, ...], detail: str, drop: tuple[int, ...] = ()
    ) -> None:
        self.found.append(Finding(kind, images, detail, drop=drop))

    def of_kind(self, kind: str) -> list[Finding]:
        return [finding for finding in self.found if finding.kind == kind]

    def kinds(self) -> list[str]:
        """Those that were found, the most important first."""
        there = {finding.kind for finding in self.found}
        return [kind for kind in KINDS if kind in there]

    def problems(self) -> list[Finding]:
        """Those that are not only worth knowing."""
        return [finding for finding in self.found if not finding.is_note]

    def as_json(self) -> list[dict[str, Any]]:
        """Content of findings.json: the most important kind first, leaks first within a kind."""
        return [
            {
                "kind": finding.kind,
                "paths": [self.names[i] for i in finding.images],
                "detail": finding.detail,
                "across_split": finding.across_split,
                "note": finding.is_note,
            }
            for kind in self.kinds()
            for finding in leaks_first(self.of_kind(kind))
        ]

    def fix_list(self, labels: Sequence[str]) -> str:
        """CSV of what to drop or relabel; a picture that is to be dropped is not relabelled.

        Args:
            labels: class name of each picture.
        """
        rows: dict[int, tuple[str, str, str, str, str]] = {}
        for kind in self.kinds():
            for finding in leaks_first(self.of_kind(kind)):
                reason = f"{kind}: {finding.detail}"
                for image in finding.drop:
                    row = (self.names[image], "drop", labels[image], "", reason)
                    rows.setdefault(image, row)
                if finding.relabel is not None:
                    (image,) = finding.images
                    row = (self.names[image], "relabel", labels[image], finding.relabel, reason)
                    rows.setdefault(image, row)
        header = ("path", "action", "class", "new_class", "reason")
        return format_csv(header, rows.values())


def leaks_first(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: not finding.across_split)
