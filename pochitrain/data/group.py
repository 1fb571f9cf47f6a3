"""The group of each image, read from its path: the patient, the camera, the lot, the day."""

import os
import re
from collections.abc import Sequence

from pochitrain.error import ConfigError
from pochitrain.text import shorten_list

SHOWN = 3
"""Files without a group that a message names."""


def groups_of_paths(paths: Sequence[str], root: str, pattern: str) -> list[str]:
    """The group of each image below `root`.

    The pattern is searched for in the path relative to the root, `<class>/.../name.jpg`, with
    slashes on every system. The group is what its ( ) match, or the whole match without any. So the
    same text is the same group in every class.

    Args:
        pattern: regular expression with at most one ( ).

    Raises:
        ConfigError: naming files in which nothing is found.
    """
    search = re.compile(pattern).search
    number = 1 if re.compile(pattern).groups else 0
    prefix = os.path.join(root, "")
    groups: list[str] = []
    without: list[str] = []
    for path in paths:
        inside = path.removeprefix(prefix).replace(os.sep, "/")
        match = search(inside)
        group = match[number] if match else None
        if not group:
            without.append(inside)
        groups.append(group or "")
    if without:
        some = "any" if len(without) == len(groups) else f"{len(without):,} of {len(groups):,}"
        raise ConfigError(
            f"data.group_by must find a group in the path of every picture below {root!r}, got "
            f"{pattern!r}, which finds none in {some}: {shorten_list(without, SHOWN)}. It is "
            "searched for in paths as they are shown here, and its ( ) are the group: "
            "'data.group_by=\"(patient\\d+)\"'."
        )
    return groups
