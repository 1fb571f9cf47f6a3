"""The documentation as a site: every page is in its navigation, and it asks nobody for anything."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from page import ROOT

CONFIG = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
FROM_HOOK = {"index.md", "changelog.md"}
"""Pages that scripts/site_hook.py makes of README.md and CHANGELOG.md."""


def test_every_page_is_in_the_navigation() -> None:
    shown = set(re.findall(r"[\w/.]+\.md", CONFIG.partition("\nnav:\n")[2]))
    docs = ROOT / "docs"
    assert shown == {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")} | FROM_HOOK


def requests_of(page: str) -> list[str]:
    """Addresses that a browser asks when it opens a page, links not counted."""
    tags = re.findall(r"<(?:script|img|iframe|source|link)\b[^>]*>", page)
    found = [re.search(r"(?:src|href)=[\"']?((?:https?:)?//[^\"' >]+)", tag) for tag in tags]
    return [match[1] for match in found if match]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mkdocs") is None, reason="needs --group docs")
def test_the_site_builds_and_needs_no_network(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = sorted(tmp_path.rglob("*.html"))
    assert {"index.html", "reference.html", "guide.ja.html"} <= {page.name for page in pages}
    for page in pages:
        assert not requests_of(page.read_text(encoding="utf-8")), page.name
    for sheet in tmp_path.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//", sheet.read_text(encoding="utf-8"))
    start = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert 'href="fit.html"' in start and "docs/fit.md" not in re.findall(r'href="([^"]*)"', start)


def test_a_request_is_noticed() -> None:
    tag = '<link rel="stylesheet" href="https://fonts.example/css?family=Roboto">'
    assert requests_of(f'{tag}<a href="https://example.org">x</a><img src="a.png">') == [
        "https://fonts.example/css?family=Roboto"
    ]
