"""data=shards as a user runs it."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pochitrain.engine.checkpoint import load_checkpoint

TINY = [
    "model=torchvision",
    "model.name=shufflenet_v2_x0_5",
    "transform=imagenet",
    "transform.size=32",
    "metrics.export=true",
    "scheduler=none",
    "device=cpu",
    "batch_size=4",
]


def pack(root: Path, num_shards: int) -> None:
    """train-0.tar and so on, in the order in which a folder lists its images."""
    paths = sorted(root.rglob("*.png"))
    for shard in range(num_shards):
        part = paths[shard * len(paths) // num_shards : (shard + 1) * len(paths) // num_shards]
        with tarfile.open(f"train-{shard}.tar", "w") as tar:
            for path in part:
                label = path.parent.name.encode()
                entry = tarfile.TarInfo(f"{path.parent.name}/{path.stem}.txt")
                entry.size = len(label)
                tar.addfile(entry, io.BytesIO(label))
                tar.add(path, f"{path.parent.name}/{path.name}")


@pytest.mark.parametrize("workers", [0, 2])
def test_shards_train_as_the_folder_does_and_resume_and_infer(
    tmp_path: Path, make_folder: Callable[..., Path], pochi: Callable[..., Any], workers: int
) -> None:
    root = make_folder(tmp_path / "photos", {"a": 10, "b": 10})
    pack(root, 3)

    def train(name: str, *words: str) -> Path:
        outcome = pochi(*words, *TINY, f"work_dir={name}", f"data.num_workers={workers}")
        assert outcome.code == 0, outcome.err
        (run,) = (tmp_path / name).iterdir()
        return run

    fraction = "data.val_fraction=0.3"
    folder = ["data=folder", "data.train_root=photos", fraction]
    shards = ["data=shards", "data.train_shards=train-*.tar", fraction, "data.cache=on"]
    first = train("folder", *folder, "epochs=2")
    second = train("shards", *shards, "epochs=2")  # the second epoch comes from the cache
    half = train("half", *shards, "epochs=1")
    outcome = pochi(f"resume={half}", "epochs=2")
    assert outcome.code == 0, outcome.err
    for run in (second, half):
        name = "training_metrics.csv"
        assert (run / name).read_bytes() == (first / name).read_bytes()
        weights = [load_checkpoint(r / "models" / "last.pth")["model"] for r in (first, run)]
        assert all(torch.equal(weights[1][key], value) for key, value in weights[0].items())
    outcome = pochi(str(second), command="infer", prog="pochi infer")
    assert outcome.code == 0, outcome.err
    assert "6 pictures" in outcome.out
