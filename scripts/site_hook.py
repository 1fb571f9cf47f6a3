"""What mkdocs.yml needs besides the pages in docs/: README.md as the start, and the changelog.

Links that leave docs/ in the repository lead to these two pages on the site.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
FROM_ROOT = {"README.md": "index.md", "CHANGELOG.md": "changelog.md"}
"""Page in the root of the repository -> page of the site."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/, with links as from docs/."""
    for name, page in FROM_ROOT.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        text = re.sub(r"\]\(docs/", "](", text)
        text = re.sub(r'src="docs/', 'src="', text)
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to the pages in the root of the repository lead to those of the site."""
    for name, page in FROM_ROOT.items():
        markdown = re.sub(rf"\]\(((?:\.\./)*)\.\./{name}", rf"](\g<1>{page}", markdown)
        markdown = re.sub(rf"\]\({name}", f"]({page}", markdown)
    return markdown
