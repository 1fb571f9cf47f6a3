"""Composes the config as the command line does, with the values that an option demands."""

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from pochitrain.config.registry import register_config, register_transforms_of_data
from pochitrain.paths import config_directory


def list_images(root: Path) -> Path:
    """A table of the images in class folders."""
    images = sorted(root.rglob("*.png"))
    table = root.parent / "labels.csv"
    lines = [f"{path.relative_to(root.parent)},{path.parent.name}\n" for path in images]
    table.write_text("image,label\n" + "".join(lines), encoding="utf-8")
    return table


def pack_images(root: Path) -> Path:
    """A tar file of the images in class folders."""
    shard = root.parent / "train-0.tar"
    with tarfile.open(shard, "w") as tar:
        for path in sorted(root.rglob("*.png")):
            label = path.parent.name.encode()
            entry = tarfile.TarInfo(f"{path.parent.name}/{path.stem}.cls")
            entry.size = len(label)
            tar.addfile(entry, io.BytesIO(label))
            tar.add(path, f"{path.parent.name}/{path.name}")
    return shard


@pytest.fixture
def composed(
    tmp_path: Path, make_folder: Callable[..., Path]
) -> Iterator[Callable[..., DictConfig]]:
    """compose(*overrides): the tree, mandatory values filled in."""
    register_config()
    register_transforms_of_data([config_directory()])
    root = make_folder(tmp_path / "photos", {"a": 4, "b": 6})
    values = {
        "data.train_root": str(root),
        "data.table": str(list_images(root)),
        "data.train_shards": str(pack_images(root)),
        "model.name": "resnet18",  # of torchvision and of timm
        "loss.class_weights": "[1.0,2.0]",
    }

    def build(*overrides: str) -> DictConfig:
        cfg = compose("config", list(overrides))
        missing = OmegaConf.missing_keys(cfg)
        unknown = missing - values.keys()
        assert not unknown, f"give {unknown} a value in tests/contract/conftest.py"
        return compose("config", [*overrides, *(f"{key}={values[key]}" for key in missing)])

    with initialize_config_dir(str(config_directory())):
        yield build
