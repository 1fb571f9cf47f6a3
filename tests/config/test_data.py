"""Validation pictures that are training pictures, and options of data without a transform."""

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from pochitrain.config.data import check_data
from pochitrain.config.registry import register_config, register_transforms_of_data
from pochitrain.config.root import validate
from pochitrain.error import ConfigError
from pochitrain.paths import config_directory


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """train/a, train/b, other/a; same -> train; mixed/a is real, mixed/b leads into train."""
    for folder in ("train/a", "train/b", "other/a", "mixed/a"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "same").symlink_to("train")
    (tmp_path / "mixed" / "b").symlink_to(tmp_path / "train" / "b")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(train: str, val: str) -> None:
    target = "pochitrain.data.folder.open_folder"
    node = {"_target_": target, "train_root": train, "val_root": val, "val_fraction": None}
    check_data(node, {})


@pytest.mark.parametrize(
    ("train", "val", "named"),
    [
        ("train", "train", "train"),
        ("train", "other/../train", "other/../train"),
        ("train", "train/a", "train/a"),
        ("train", "same", "same"),
        ("same", "train", "train"),
        ("train", "mixed", "mixed/b"),
    ],
)
def test_validation_must_show_other_pictures(roots: Path, train: str, val: str, named: str) -> None:
    with pytest.raises(ConfigError, match=rf"^data\.val_root must be .*\. {named} leads to"):
        check(train, val)


@pytest.mark.parametrize(("train", "val"), [("train", "other"), ("train", "train2")])
def test_other_folders_pass(roots: Path, train: str, val: str) -> None:
    check(train, val)


def compose_from(folder: Path, *overrides: str) -> Any:
    register_config()
    register_transforms_of_data([config_directory(), folder])
    with initialize_config_dir(str(config_directory())):
        return compose("config", [f"hydra.searchpath=[file://{folder}]", *overrides])


def targets(cfg: Any) -> list[str]:
    return [node["_target_"].rpartition(".")[2] for node in cfg.transform.train]


def test_data_of_the_user_has_a_transform(tmp_path: Path) -> None:
    for group, text in (("data", "_target_: mine.open_mine\nnum_workers: 1\n"), ("transform", "")):
        (tmp_path / group).mkdir()
        (tmp_path / group / "mine_a.yaml").write_text(text)
    (tmp_path / "data" / "mine_b.yaml").write_text("_target_: mine.open_mine\n")
    (tmp_path / "transform" / "mine_a.yaml").write_text("defaults: [minimal]\n")
    assert targets(compose_from(tmp_path, "data=mine_a")) == ["ToTensor", "Normalize"]
    imagenet = ["RandomResizedCrop", "RandomHorizontalFlip", "ToTensor", "Normalize"]
    assert targets(compose_from(tmp_path, "data=mine_b")) == imagenet
    assert targets(compose_from(tmp_path, "data=mine_b", "transform=minimal"))[0] == "ToTensor"
    cfg = compose_from(tmp_path, "data=mine_a", "data.num_workers=-1", "allow_targets=[mine.*]")
    with pytest.raises(ConfigError, match=r"^data\.num_workers must be an integer >= 0, got -1"):
        validate(cfg)


def test_a_saved_tree_is_checked_too() -> None:
    """resume=RUN reads a tree without types."""
    register_config()
    with initialize_config_dir(str(config_directory())):
        cfg = compose("config", ["scheduler=steplr"])
    saved = OmegaConf.create(OmegaConf.to_container(cfg, resolve=True))
    assert validate(saved) == validate(cfg)  # type: ignore[arg-type]
    saved.scheduler.step_size = 0
    with pytest.raises(ConfigError, match=r"^scheduler\.step_size must be an integer >= 1, got 0"):
        validate(saved)  # type: ignore[arg-type]
    saved.scheduler.step_size, saved.checkpoint.keep_last = 1, 0
    with pytest.raises(ConfigError, match=r"^checkpoint\.keep_last must be"):
        validate(saved)  # type: ignore[arg-type]
