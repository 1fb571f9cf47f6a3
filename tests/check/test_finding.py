"""How findings are written down."""

import csv
import io

from pochitrain.check.finding import KINDS, NOTES, Finding, Findings


def test_notes_are_kinds() -> None:
    assert KINDS.keys() >= set(NOTES)


def make() -> Findings:
    return Findings(
        ["a.png", "b.png", "c.png", "d.png"],
        [
            Finding("label", (1,), "labelled x, looks like y", relabel="y"),
            Finding("imbalance", (), "x, y: 30 and 2"),
            Finding("near_duplicate", (0, 1), "alike"),
            Finding("near_duplicate", (2, 3), "alike", across_split=True, drop=(2,)),
            Finding("label", (2,), "labelled x, looks like y", relabel="y"),
            Finding("unreadable", (0,), "truncated", drop=(0,)),
        ],
    )


def test_json_has_the_most_important_first() -> None:
    found = make().as_json()
    assert [(f["kind"], f["paths"]) for f in found] == [
        ("unreadable", ["a.png"]),
        ("near_duplicate", ["c.png", "d.png"]),  # across the split, so before the other
        ("near_duplicate", ["a.png", "b.png"]),
        ("label", ["b.png"]),
        ("label", ["c.png"]),
        ("imbalance", []),
    ]
    assert [f["across_split"] for f in found] == [False, True, False, False, False, False]
    assert [f["note"] for f in found] == [False] * 5 + [True]


def test_problems_are_what_is_no_note() -> None:
    findings = make()
    assert len(findings.problems()) == 5
    findings.found = [Finding("imbalance", (), "x")]
    assert findings.problems() == []


def test_a_picture_is_fixed_once() -> None:
    text = make().fix_list(["x", "x", "x", "y"])
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["path"], row["action"], row["class"], row["new_class"]) for row in rows] == [
        ("a.png", "drop", "x", ""),
        ("c.png", "drop", "x", ""),  # and not relabelled
        ("b.png", "relabel", "x", "y"),
    ]
    assert rows[0]["reason"] == "unreadable: truncated"
