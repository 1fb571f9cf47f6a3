"""Overrides as people type them, made into what Hydra's grammar takes."""

import re

BARE_VALUE = re.compile(r"""(?P<key>[^=\s'"]+)=(?P<value>[^'"()\[\]{},]*)""")
"""`key=value` without quotes, brackets or commas."""


def to_hydra(word: str) -> str:
    """One word of the command line.

    `+experiment=x` means `experiment=x`: the group is in the defaults list already. `device=None`
    is Python for `device=null`. A value with letters that Hydra's grammar does not know
    (`confusion_matrix.title=混同行列`) gets the quotes that it asks for.
    """
    if word.startswith("+experiment="):
        return word.removeprefix("+")
    if re.fullmatch(r"[^=\s]+=None", word):
        return f"{word[:-4]}null"
    match = BARE_VALUE.fullmatch(word)
    if word.isascii() or match is None or "${" in word:
        return word
    value = match["value"]
    value += "\\" * (len(value) - len(value.rstrip("\\")))  # a backslash escapes a quote only
    return f'{match["key"]}="{value}"'
