"""The Japanese guide keeps step with the English pages; tables of options are complete."""

import re
from pathlib import Path

import pytest
from page import ROOT, links_of
from test_mention import KEYS, is_known

from pochitrain.paths import config_directory

DOCS = ROOT / "docs"
GUIDE = DOCS / "guide.ja.md"
TEXT = GUIDE.read_text(encoding="utf-8")


def test_every_page_is_linked() -> None:
    linked = {link.partition("#")[0] for link in links_of(GUIDE)}
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} - {GUIDE.name}
    assert pages <= linked


def tables_of_keys() -> list[tuple[str, str]]:
    """(group, key) of the rows of tables whose first column is called key (キー)."""
    found = []
    for table in re.findall(r"(?:^\|.*\n)+", TEXT, re.MULTILINE):
        head, _, *rows = table.splitlines()
        title = head.strip("|").split("|")[0].strip()
        named = re.fullmatch(r"(?:`(\w+)` の)?キー", title)
        for row in rows if named else ():
            cell = row.strip("|").split("|")[0]
            found += [(named[1] or "", key) for key in re.findall(r"`([^`]+)`", cell)]
    return found


def test_keys_of_its_tables_exist() -> None:
    rows = tables_of_keys()
    assert len(rows) > 50  # else the tables have another form now
    for group, key in rows:
        name = f"{group}.{key}" if group else key
        assert name in KEYS or is_known(name), name


@pytest.mark.parametrize("page", ["README.md", "docs/training.md", "docs/guide.ja.md"])
def test_tables_of_options_are_complete(page: Path) -> None:
    """A row names every option of its group, but those that only follow another group."""
    text = (ROOT / page).read_text(encoding="utf-8")
    (table,) = re.findall(
        r"^\| (?:group|グループ) \| (?:options|選択肢) \|\n\|[-| ]+\|\n((?:\|.*\n)+)",
        text,
        re.MULTILINE,
    )
    rows = {}
    for row in table.splitlines():
        groups, options = row.strip("|").split("|")
        words = set(re.findall(r"[a-z_0-9]+", re.sub(r"\(.*?\)(?=[ |]|$)", "", options)))
        rows |= dict.fromkeys(re.findall(r"[a-z_]+", groups), words)
    folders = {path.name for path in config_directory().iterdir() if path.is_dir()}
    assert rows.keys() == folders - {"hydra"}
    for group, words in rows.items():
        there = {path.stem for path in (config_directory() / group).glob("*.yaml")}
        if group == "transform":
            there -= {path.stem for path in (config_directory() / "data").glob("*.yaml")}
        assert words >= (there if group != "optuna" else {"none", "default"}), group
