"""What a start costs beyond its imports, as ratios and differences from one run.

    python scripts/benchmark_start.py            # both
    python scripts/benchmark_start.py config     # `--cfg job` against `import hydra`
    python scripts/benchmark_start.py step       # until the first optimizer step, beyond torch

The sides take turns in fresh processes; the figures are medians. CPU time is that of the process
and its children, so it says the same on a busy machine as long as the processor is not slowed down.
"""

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

UNTIL_FIRST_STEP = """
import os, sys, torch
from torch.optim.optimizer import register_optimizer_step_post_hook
register_optimizer_step_post_hook(lambda *_: os._exit(0))
from pochitrain.cli.main import main
main(["train", *sys.argv[1:]], prog="train.py")
"""
"""A training that ends the process after its first step."""


def run(words: list[str]) -> tuple[float, float]:
    """(CPU seconds, wall-clock seconds) of one process of this Python."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, capture_output=True, cwd=REPOSITORY)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def compare(rounds: int, *sides: list[str]) -> list[tuple[float, float]]:
    """Median (CPU, wall) of each side; the first round, which fills caches, does not count."""
    found = [[run(side) for side in sides] for _ in range(rounds + 1)][1:]
    return [
        tuple(statistics.median(times) for times in zip(*column, strict=True))  # type: ignore[misc]
        for column in zip(*found, strict=True)
    ]


def measure_config(rounds: int) -> None:
    bare, ours = compare(rounds, ["-c", "import hydra"], ["train.py", "--cfg", "job"])
    print(f"import hydra {bare[0]:.2f} s, --cfg job {ours[0]:.2f} s of CPU time")
    print(f"ratio {ours[0] / bare[0]:.2f} (goal 1.6)")


def measure_step(rounds: int) -> None:
    from kill_search import make_pictures

    work = Path(tempfile.mkdtemp(prefix="benchmark_start_"))
    try:
        folder = make_pictures(work / "pictures")
        common = [f"work_dir={work}", "device=cpu", "epochs=1", "data.num_workers=0"]
        sides = {
            "data=digits": ["data=digits"],
            "data=folder": ["data=folder", f"data.train_root={folder}", "data.val_fraction=0.3"],
        }
        ours = [["-c", UNTIL_FIRST_STEP, *words, *common] for words in sides.values()]
        bare, *found = compare(rounds, ["-c", "import torch, torchvision"], *ours)
        print(f"import torch, torchvision: {bare[0]:.2f} s CPU, {bare[1]:.2f} s")
        for name, (cpu, wall) in zip(sides, found, strict=True):
            print(f"{name}: {cpu - bare[0]:.2f} s CPU, {wall - bare[1]:.2f} s more (goal 1.5)")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=("config", "step"))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.what != "step":
        measure_config(options.rounds)
    if options.what != "config":
        measure_step(options.rounds)


if __name__ == "__main__":
    main()
