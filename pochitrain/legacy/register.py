"""Registers a Python config as options of Hydra, which overrides can change.

One option per group (`scheduler/legacy` is steplr with the file's values), and one node
`legacy/file` that selects them all and carries the run-level keys. With everything in a single
node, `scheduler=cosineannealinglr` on the command line would break on the left-over keys of StepLR;
this way every group can still be exchanged. The nodes live in Hydra's ConfigStore: no files are
written, and the worker processes of a sweep receive them.
"""

from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore

from pochitrain.legacy.read import read_python_config
from pochitrain.legacy.reference import trust
from pochitrain.legacy.selection import Option, Selection
from pochitrain.legacy.translate import Translation, translate

SELECT = "legacy=file"
"""The override that selects the whole config."""

SEARCH = "legacy_search"
"""Option of group optuna with the search settings of the file, switched on."""


def use_config_file(path: str | Path) -> Translation:
    """Execute `path`, register its options and allow its references.

    The caller must put SELECT in front of the overrides.

    Raises:
        ConfigError: if the file is wrong.
    """
    config = read_python_config(path)
    translation = translate(config)
    trust(config, translation.references)
    register_selection(translation.selection)
    return translation


def register_selection(selection: Selection) -> None:
    """Store the options `<group>/legacy`, `optuna/legacy_search` and the node `legacy/file`."""
    store = ConfigStore.instance()
    defaults: list[Any] = []
    for group, option in selection.options.items():
        store.store(group=group, name="legacy", node=option_node(option), replace=True)
        defaults.append({f"override /{group}": "legacy"})
    search = selection.options.get("optuna", Option("none"))
    searching = option_node(Option("default", search.values))
    store.store(group="optuna", name=SEARCH, node=searching, replace=True)
    node = {"defaults": [*defaults, "_self_"], **selection.root}
    store.store(group="legacy", name="file", node=node, package="_global_", replace=True)


def option_node(option: Option) -> dict[str, Any]:
    """The node of an option for the ConfigStore: its base as a default, and its values."""
    if option.base is None:
        return option.values
    return {"defaults": [option.base, "_self_"], **option.values}
