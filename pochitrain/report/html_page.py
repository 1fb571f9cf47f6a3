"""The frame of every HTML page: one file, that asks no server for anything."""

import html

FRAME = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:;
  style-src 'unsafe-inline'">
<title>{title}</title>
<style>
* {{ box-sizing: border-box; }}
body {{ font-family: system-ui, "Noto Sans CJK JP", sans-serif; margin: 0 auto; padding: 1.5rem;
  max-width: 80rem; color: #222; background: #fff; line-height: 1.45; }}
h1 {{ font-size: 1.4rem; margin: 0 0 1rem; }}
.path {{ color: #777; font-size: .7rem; }}
@media (max-width: 480px) {{ body {{ padding: .8rem; }} }}
{style}</style>
{body}
</html>
"""


def frame_page(title: str, style: str, body: str) -> str:
    """A whole page.

    Args:
        title: text of the window, not HTML.
        style: CSS of this page, besides what all pages have.
        body: HTML.
    """
    return FRAME.format(title=html.escape(title), style=style, body=body)
