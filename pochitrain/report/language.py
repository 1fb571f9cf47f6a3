"""The language of a page: English as it stands in the templates, or Japanese from a list."""

import locale
import os
from collections.abc import Callable

from markupsafe import Markup

from pochitrain.report.japanese import JAPANESE

Translate = Callable[..., Markup]
"""(English text, values by name) -> HTML. Texts are HTML with `{name}` for values; values are
escaped."""


def choose_language(asked: str) -> str:
    """`en` or `ja`.

    Args:
        asked: en, ja, or auto = that of the messages of this process (LC_ALL, LC_MESSAGES, LANG).
    """
    if asked != "auto":
        return asked
    names = (os.environ.get(key) for key in ("LC_ALL", "LC_MESSAGES", "LANG"))
    found = next(filter(None, names), None) or locale.getlocale()[0] or ""
    return "ja" if found.lower().startswith(("ja", "japanese")) else "en"


def translator(language: str) -> Translate:
    """`_` for pages in this language. A text without a translation stays English."""
    catalogue = JAPANESE if language == "ja" else {}

    def translate(text: str, **values: object) -> Markup:
        return Markup(catalogue.get(text, text)).format(**values)

    return translate
