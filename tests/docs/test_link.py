"""Every relative link and anchor in the documentation leads somewhere."""

from pathlib import Path

import pytest
from page import PAGES, ROOT, anchors_of, links_of


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for link in links_of(page):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), f"{link} leaves the repository"
        assert target.exists(), f"{link} is not there"
        if anchor:
            assert anchor in anchors_of(target), f"{link}: no such heading"


def test_a_page_is_read_as_github_reads_it(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# `pochi fit`: a *model*\n\n## 時間を決めて訓練する (pochi fit)\n\n"
        "## Twice\n\n## Twice\n\n"
        "[a](b.md#c) `[no](x.md)` ![p](image/p.png)\n\n```bash\n# no heading\n[no](y.md)\n```\n",
        encoding="utf-8",
    )
    assert anchors_of(page) == {
        "pochi-fit-a-model",
        "時間を決めて訓練する-pochi-fit",
        "twice",
        "twice-1",
    }
    assert links_of(page) == ["b.md#c", "image/p.png"]
