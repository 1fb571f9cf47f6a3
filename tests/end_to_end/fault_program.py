"""Runs of the whole program on a small folder of images, and what is compared between runs."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

HERE = Path(__file__).parent
NUM_PICTURES = 48
"""In training; 12 more for validation."""


def write_pictures(root: Path) -> Path:
    """A folder of three classes, told apart by their colour."""
    generator = np.random.default_rng(0)
    for split, count in (("train", NUM_PICTURES // 3), ("val", 4)):
        for channel, name in enumerate(("blue", "green", "red")):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 160, (20, 20, 3), dtype=np.uint8)
                pixels[..., 2 - channel] += 60
                Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    return root


@dataclass
class Ended:
    """A command that has ended."""

    code: int
    """Exit code; negative: killed by that signal."""
    text: str
    """What it printed, both streams."""


class Program:
    """Runs `train.py` in forked processes of one server."""

    def __init__(self, folder: Path, dataset: Path) -> None:
        self.folder = folder
        self.dataset = dataset
        env = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(folder / "cache")}
        env.pop("UV", None)  # set by `uv run`, which the command to continue then begins with
        env["PYTHONPATH"] = f"{HERE}:{HERE.parent.parent}"
        self.server = subprocess.Popen(
            [sys.executable, str(HERE / "fork_server.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )

    def ask(self, task: dict[str, Any]) -> dict[str, int]:
        assert self.server.stdin is not None and self.server.stdout is not None
        self.server.stdin.write(json.dumps(task) + "\n")
        self.server.stdin.flush()
        answer: dict[str, int] = json.loads(self.server.stdout.readline())
        return answer

    def close(self) -> None:
        assert self.server.stdin is not None and self.server.stdout is not None
        self.server.stdin.close()
        self.server.wait(timeout=30)
        self.server.stdout.close()

    def task(self, argv: tuple[str, ...], env: dict[str, str]) -> dict[str, Any]:
        output = str(self.folder / "output.txt")
        return {"argv": list(argv), "env": env, "folder": str(self.folder), "output": output}

    def run(self, *argv: str, **env: str) -> Ended:
        code = self.ask(self.task(argv, env))["code"]
        return Ended(code, (self.folder / "output.txt").read_text())

    def start(self, *argv: str, **env: str) -> int:
        """Start a command and return its process id."""
        return self.ask({**self.task(argv, env), "wait": False})["pid"]

    def wait(self, pid: int) -> Ended:
        code = self.ask({"wait_for": pid})["code"]
        return Ended(code, (self.folder / "output.txt").read_text())

    def tiny(self, work_dir: str, *more: str) -> list[str]:
        """Arguments of a short run with augmentation and dropout: 3 epochs of 6 batches."""
        return [
            f"work_dir={work_dir}",
            "data=folder",
            f"data.train_root={self.dataset}/train",
            f"data.val_root={self.dataset}/val",
            "transform=augment",
            "transform.size=16",
            "data.num_workers=0",
            "model=torchvision",
            "model.name=tiny",
            "model._target_=fault_part.build_tiny",
            "allow_targets=[fault_part.*]",
            "+callbacks.fault._target_=fault_part.SignalAt",
            "batch_size=8",
            "epochs=3",
            "device=cpu",
            *more,
        ]

    def only_run(self, work_dir: str) -> Path:
        """The run directory, when there must be exactly one."""
        (path,) = [p for p in (self.folder / work_dir).iterdir() if p.is_dir()]
        return path


def wait_until_stopped(pid: int) -> None:
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.02)


def differences(left: Any, right: Any, path: str = "") -> list[str]:
    """Where two checkpoints differ, bit for bit."""
    if isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
        same = left.shape == right.shape and left.dtype == right.dtype
        # Bytes, so that NaN equals NaN and 0.0 differs from -0.0.
        return [] if same and left.numpy().tobytes() == right.numpy().tobytes() else [path]
    if type(left) is not type(right):
        return [path]
    if isinstance(left, dict):
        if left.keys() != right.keys():
            return [path]
        return [d for key in left for d in differences(left[key], right[key], f"{path}.{key}")]
    if isinstance(left, (list, tuple)):
        if len(left) != len(right):
            return [path]
        pairs = enumerate(zip(left, right, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{path}[{i}]")]
    return [] if left == right or (left != left and right != right) else [path]


OF_THE_COMMAND = ("config",)
"""Parts of a checkpoint that say how it was asked for."""


def run_differences(left: Path, right: Path) -> list[str]:
    """Where the results of two runs differ: every tensor and value of the checkpoints, the CSVs."""
    found = []
    for name in checkpoint_names(left):
        a, b = (torch.load(r / "models" / name, weights_only=True) for r in (left, right))
        for key in OF_THE_COMMAND:
            a.pop(key), b.pop(key)
        found += [f"{name}{d}" for d in differences(a, b)]
    for table in sorted({path.name for run in (left, right) for path in run.glob("*.csv")}):
        files = [run / table for run in (left, right)]
        if not all(f.is_file() for f in files) or files[0].read_bytes() != files[1].read_bytes():
            found.append(table)
    return found


def checkpoint_names(run: Path) -> list[str]:
    """Those that a run leaves whatever happened to it; older ones depend on when it was killed."""
    return [n for n in ("last.pth", "best.pth", "ema.pth") if (run / "models" / n).exists()]
