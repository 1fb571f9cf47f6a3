"""Which Python config files this command may execute."""

from collections.abc import Callable
from typing import Any

from hydra.core.singleton import Singleton


class TrustedFiles(metaclass=Singleton):
    """The Python files that this command may execute: those that came with `--config`.

    Hydra hands its singletons to the worker processes of a sweep, so this reaches them too.
    """

    def __init__(self) -> None:
        self.resolvers: dict[str, Callable[[str, str], Any]] = {}
        """File -> function that executes the file and finds an object in it by its name."""
        self.targets: list[str] = []
        """The callables that the references stand for, as entries of Hydra's allow-list."""
