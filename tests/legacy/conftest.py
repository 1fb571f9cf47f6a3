"""Composes a Python config in this process, as `train.py --config F` does."""

import contextlib
import io
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig

from pochitrain.config.registry import register_config
from pochitrain.config.root import to_plain, validate
from pochitrain.legacy.reference import trust_nothing
from pochitrain.legacy.register import SELECT, use_config_file
from pochitrain.paths import config_directory

HEAD = """
import torchvision.transforms as transforms
train_data_root = "data/train"
val_data_root = "data/val"
train_transform = transforms.Compose([transforms.ToTensor()])
val_transform = transforms.Compose([transforms.ToTensor()])
"""
"""What every file needs; a test adds the option it is about."""


@pytest.fixture(autouse=True)
def no_trust_left() -> Iterator[None]:
    yield
    trust_nothing()
    HydraConfig.instance().cfg = None


@pytest.fixture
def write_file(tmp_path: Path) -> Callable[..., Path]:
    """write_file("epochs = 3"): a complete file with that line."""

    def write(text: str, head: str = HEAD, name: str = "old.py") -> Path:
        path = tmp_path / name
        path.write_text(head + textwrap.dedent(text), encoding="utf-8")
        return path

    return write


@pytest.fixture
def compose_file() -> Callable[..., dict[str, Any]]:
    """The composed, validated tree of a file as plain values, overrides on top."""

    def run(path: Path, *overrides: str) -> dict[str, Any]:
        use_config_file(path)
        return compose_plain(SELECT, *overrides)

    return run


@pytest.fixture
def compose_text(
    write_file: Callable[..., Path], compose_file: Callable[..., dict[str, Any]]
) -> Callable[..., dict[str, Any]]:
    return lambda text, *overrides: compose_file(write_file(text), *overrides)


register_config()


def compose_plain(*overrides: str, search: Path | None = None) -> dict[str, Any]:
    words = list(overrides)
    if search is not None:
        words.append(f"hydra.searchpath=[file://{search}]")
    with (
        contextlib.redirect_stderr(io.StringIO()),
        initialize_config_dir(str(config_directory())),
    ):
        cfg = compose("config", overrides=words)
    validate(cfg)
    return to_plain(cfg)
