"""The language of a page: English as it stands in the templates, or Japanese from a list."""

import locale
import os

from markupsafe import Markup

from pochitrain.report.japanese import JAPANESE


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


class Translate:
    """`_` of a page: English texts in its language. One without a translation stays English."""

    def __init__(self, language: str) -> None:
        self.catalogue = JAPANESE if language == "ja" else {}

    def __call__(self, text: str, **values: object) -> Markup:
        """A text of ours, as HTML; it may have `{name}` for values, which are escaped."""
        return Markup(self.catalogue.get(text, text)).format(**values)

    def word(self, text: str) -> str:
        """A word that comes from a file, as plain text."""
        return self.catalogue.get(text, text)
