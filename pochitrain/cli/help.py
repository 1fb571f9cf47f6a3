"""The groups and their options as `--help` shows them."""

import textwrap

from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType

from pochitrain.config.root import GROUPS

WIDTH = 100
NOT_SHOWN = ("hydra", "legacy", "schema")
"""Groups that are not for users: Hydra's, that of a Python config, and the schemas."""


def option_table() -> str:
    """A line per group, `name  option, option, ...`: shipped groups first, then the user's."""
    loader = GlobalHydra.instance().config_loader()
    there = [group for group in loader.list_groups("") if group not in NOT_SHOWN]
    ours = [group for group in (*GROUPS, "experiment") if group in there]
    rows = []
    width = max(map(len, there))
    for group in (*ours, *sorted(set(there) - set(ours))):
        options = ", ".join(sorted(loader.get_group_options(group, ObjectType.CONFIG)))
        indent = " " * (width + 2)
        rows.append(
            textwrap.fill(
                options, WIDTH, initial_indent=f"{group:<{width}}  ", subsequent_indent=indent
            )
        )
    return "\n".join(rows)
