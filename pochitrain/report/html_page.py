"""The one way to make an HTML page: templates of Jinja2 in one frame.

A page is one file that asks no server for anything; its Content-Security-Policy forbids it, and
allows no script but our own. Whatever a template prints is escaped, control characters and those
that turn the direction of text around are shown as escapes.
"""

import base64
import hashlib
import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from pochitrain.report.language import Translate
from pochitrain.text import UNSAFE, printable

FOLDER = Path(__file__).parent / "template"


def render_page(template: str, translate: Translate, language: str, **values: Any) -> str:
    """A whole page from a file of `template/` that extends `page.html`.

    Args:
        translate: `_` in templates, see `report.language`.
        language: `en` or `ja`.
        values: what the template calls by name.
    """
    page = environment().get_template(template)
    found: str = page.render(_=translate, language=language, **values)
    return found


def frame_page(title: str, style: str, body: str) -> str:
    """A whole page of HTML that is made already.

    Args:
        title: text of the window, not HTML.
        style: CSS of this page, besides what all pages have.
        body: HTML.
    """
    page = environment().get_template("page.html")
    found: str = page.render(language="en", title=title, style=Markup(style), body=Markup(body))
    return found


@cache
def environment() -> Any:
    """The templates, with autoescape on."""
    import jinja2

    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=without_control,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals |= {"read": read_file, "digest": digest}
    found.filters |= {"quote": quote_json, "soft": allow_breaks}
    return found


def without_control(value: object) -> object:
    """What is printed instead of a value: the same without control characters, None as nothing."""
    if value is None:
        return ""
    if isinstance(value, Markup):  # escapes are plain letters, so it stays what it is
        return Markup(UNSAFE.sub(lambda found: ascii(found[0])[1:-1], value))
    return printable(value) if isinstance(value, str) else value


@cache
def read_file(name: str) -> Markup:
    """A file of `template/` as it is: CSS or a script."""
    return Markup((FOLDER / name).read_text(encoding="utf-8"))


def digest(script: str) -> str:
    """The source expression that allows exactly this script (CSP level 2)."""
    found = hashlib.sha256(script.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(found).decode('ascii')}"


def allow_breaks(text: str) -> Markup:
    """A long name that may be broken after a joint, not in the middle of a word."""
    parts = re.split(r"(?<=[_/.-])", printable(text))
    return Markup("<wbr>").join(parts)


def link_to(path: Path, folder: Path) -> str:
    """A relative link to a file or directory, from a page in `folder`."""
    return quote(os.path.relpath(path.absolute(), folder.absolute()).replace(os.sep, "/"))


def quote_json(value: Any) -> Markup:
    """JSON that is safe inside a script element, on one line; see `without_control` for names."""
    from jinja2.utils import htmlsafe_json_dumps

    return htmlsafe_json_dumps(clean(value), separators=(",", ":"), ensure_ascii=False)


def clean(value: Any) -> Any:
    """`value` with every string in it printable."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {key: clean(entry) for key, entry in value.items()}
    if isinstance(value, Sequence):
        return [clean(entry) for entry in value]
    return value
