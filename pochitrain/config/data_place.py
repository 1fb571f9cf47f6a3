"""Whether the folders and the table of a data set are there, before they are read."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pochitrain.config.table import TABLE_SUFFIXES
from pochitrain.error import ConfigError

FOLDERS = ("train_root", "val_root", "test_root")


def require_places(node: Mapping[str, Any]) -> None:
    """Refuse a node of group `data` that names a folder or a table that is not there.

    Raises:
        ConfigError: for the first one.
    """
    if not str(node.get("_target_")).startswith("pochitrain."):
        return
    for name in FOLDERS:
        if node.get(name) is not None:
            require_class_folders(node[name], f"data.{name}")
    if node.get("table") is not None:
        require_table_file(node["table"], "data.table")


def require_class_folders(root: str | Path, key: str) -> None:
    """Refuse what is no folder.

    Raises:
        ConfigError: naming `key`.
    """
    if not os.path.isdir(root):
        raise ConfigError(
            f"{key} must be a folder of class folders (ROOT/<class>/*.jpg), got {str(root)!r}, "
            f"which is not there. It is looked up from {os.getcwd()!r}."
        )


def require_table_file(path: str, key: str) -> None:
    """Refuse what is no file.

    Raises:
        ConfigError: naming `key`.
    """
    if not Path(path).is_file():
        seen = "is a folder" if Path(path).is_dir() else "is not there"
        raise ConfigError(
            f"{key} must be a file {TABLE_SUFFIXES}, got {path!r}, which {seen}. It is "
            f"looked up from {str(Path.cwd())!r}."
        )
