"""Conversion of overrides as typed to Hydra's override grammar."""

import re

BARE_VALUE = re.compile(r"""(?P<key>[^=\s'"]+)=(?P<value>[^'"()\[\]{},]*)""")
"""`key=value` without quotes, brackets or commas."""


def to_hydra(word: str) -> str:
    """One argument of the command line in Hydra's grammar.

    `+experiment=x` becomes `experiment=x`, since the group is in the defaults list. `device=None`
    becomes `device=null`. A value with non-ASCII letters (`confusion_matrix.title=混同行列`) is
    quoted, as the grammar requires.
    """
    if word.startswith("+experiment="):
        return word.removeprefix("+")
    if re.fullmatch(r"[^=\s]+=None", word):
        return f"{word[:-4]}null"
    match = BARE_VALUE.fullmatch(word)
    if word.isascii() or match is None or "${" in word:
        return word
    value = match["value"]
    value += "\\" * (
        len(value) - len(value.rstrip("\\"))
    )  # a trailing backslash would escape the closing quote
    return f'{match["key"]}="{value}"'
