"""Searches run Hydra applications, which must leave none of Hydra's global state behind."""

from tests.sweep.conftest import clean_hydra

__all__ = ["clean_hydra"]
