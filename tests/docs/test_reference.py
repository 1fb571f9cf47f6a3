"""docs/reference.md is what the code says."""

import runpy
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
from page import ROOT

from pochitrain.config.root import GROUPS
from pochitrain.config.validators import Range

SCRIPT = ROOT / "scripts" / "write_reference.py"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def test_the_page_is_up_to_date() -> None:
    """In a process of its own: it needs no torch, and tests may have registered options."""
    code = (
        "import runpy, sys\nsys.argv = ['write_reference.py', '--check']\n"
        f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_key_has_a_row(script: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    for group, (schemas, _) in GROUPS.items():
        for schema in schemas.values():
            for name in schema.__dataclass_fields__:
                is_shown = f"| `{group}.{name}` |" in page or f"| `{group}.{name}." in page
                assert is_shown or name.startswith("_"), f"{group}.{name}"


@dataclass
class Base:
    share: Annotated[float | None, Range(gt=0), Range(le=1)] = None
    """A <share> of
    many_things."""


@dataclass
class Derived(Base):
    share: Annotated[float | None, Range(gt=0)] = 0.5


@dataclass
class Silent:
    share: float = 1.0


def test_a_row_says_what_the_field_says(script: dict[str, Any]) -> None:
    (row,) = script["keys_of"](Base, "group.")
    assert row == (
        "group.share",
        "number or `null`",
        "`null`",
        "> 0 and &lt;= 1",
        r"A &lt;share> of many\_things.",
    )
    (row,) = script["keys_of"](Derived)
    assert row[2:] == ("`0.5`", "> 0", r"A &lt;share> of many\_things.")


def test_a_field_without_a_meaning_is_refused(script: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match=r"Silent\.share needs a docstring"):
        script["keys_of"](Silent)


def test_a_changed_page_is_noticed(script: dict[str, Any]) -> None:
    page = Path(ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert script["comparable"](page) != script["comparable"](page.replace("`epochs`", "`epoch`"))
