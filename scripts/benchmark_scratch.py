"""Training from random weights against fastai and Ultralytics, at equal wall time.

    python scripts/benchmark_scratch.py TRAIN TEST --px 64 --minutes 2 --seeds 0 1 2 \\
        --fastai PEER/bin/python --ultralytics PEER/bin/python

TRAIN and TEST are folders of class folders. Nothing is chosen on TEST: every contender makes its
own split of TRAIN. For each seed the contenders take turns on the same machine:

    scratch      python train.py experiment=scratch, as many epochs as fit
    default      the same with the defaults of a folder (experiment=null)
    fastai, ultralytics    scripts/benchmark_scratch_peer.py in an environment of their own

Prints seconds, accuracy and balanced accuracy of each run, and the mean and range over the seeds.
Nothing else should run on the machine.
"""

import argparse
import json
import subprocess
import time
from functools import partial
from pathlib import Path

from benchmark_fit import Contender, Result, pochi, score, take_turns

PEER = Path(__file__).with_name("benchmark_scratch_peer.py")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--px", type=int, default=64)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--fastai", help="Python of an environment with fastai")
    parser.add_argument("--ultralytics", help="Python of an environment with ultralytics")
    parser.add_argument("--only", nargs="+", help="contenders to run; default: all")
    args = parser.parse_args()
    contenders: dict[str, Contender] = {
        "scratch": partial(run_ours, "experiment=scratch", f"transform.size={args.px}"),
        "default": partial(run_ours, "model=resnet18", f"transform.size={args.px}"),
    }
    for name in ("fastai", "ultralytics"):
        if getattr(args, name):
            contenders[name] = partial(run_peer, name, getattr(args, name))
    take_turns(args, contenders)


def run_ours(model: str, size: str, args: argparse.Namespace, seed: int, folder: Path) -> Result:
    data = ["data=folder", f"data.train_root={args.train}", "data.val_fraction=0.2"]
    words = [model, *data, size, f"seed={seed}"]
    times = []
    for epochs in (1, 2):  # their difference is an epoch, without what starts and ends a run
        start = time.perf_counter()
        pochi("train", *words, f"epochs={epochs}", f"work_dir={folder / f'trial_{epochs}'}")
        times.append(time.perf_counter() - start)
    epoch_s = times[1] - times[0]
    epochs = max(int((60 * args.minutes - times[0]) / epoch_s) + 1, 1)
    start = time.perf_counter()
    pochi("train", *words, f"epochs={epochs}", f"work_dir={folder / 'run'}")
    seconds = time.perf_counter() - start
    return {"epochs": epochs, "seconds": seconds, **score(folder / "run", args.test)}


def run_peer(
    library: str, python: str, args: argparse.Namespace, seed: int, folder: Path
) -> Result:
    options = [f"--minutes={args.minutes}", f"--px={args.px}", f"--seed={seed}"]
    command = [python, str(PEER), library, str(args.train), str(args.test), *options]
    output = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout
    result: Result = json.loads(output.splitlines()[-1])
    return result


if __name__ == "__main__":
    main()
