"""`pochi fit` against fastai and against training from scratch, at equal wall time.

    python scripts/benchmark_fit.py TRAIN TEST --minutes 1 --seeds 0 1 2 --peer PEER/bin/python

TRAIN and TEST are folders of class folders. Nothing is chosen on TEST: every contender makes its
own split of TRAIN. For each seed the contenders take turns on the same machine:

    fit      pochi fit TRAIN --minutes M
    scratch  python train.py on resnet18 with random weights, at 224 px (--scratch-px says another
             size), as many epochs as fit by an untimed run of one epoch
    fastai   scripts/benchmark_fit_fastai.py, in the environment of --peer, on the same weights;
             left out without --peer

Prints seconds, accuracy and balanced accuracy of each run, and the mean and range over the seeds.
Nothing else should run on the machine.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
from sklearn.metrics import accuracy_score, balanced_accuracy_score

ROOT = Path(__file__).resolve().parent.parent
Result = dict[str, float]
Contender = Callable[[argparse.Namespace, int, Path], Result]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--peer", help="Python of an environment with fastai")
    parser.add_argument("--scratch-px", type=int, default=224)
    parser.add_argument("--only", nargs="+", help="contenders to run; default: all")
    parser.add_argument("overrides", nargs="*", help="after --: overrides of pochi fit")
    args = parser.parse_args()
    contenders: dict[str, Contender] = {
        "fit": run_fit,
        "scratch": run_scratch,
    }
    if args.peer:
        contenders["fastai"] = run_fastai
    take_turns(args, contenders)


def take_turns(args: argparse.Namespace, contenders: Mapping[str, Contender]) -> None:
    """Run every contender of `args.only` once for each seed, and print what it reached."""
    results: dict[str, list[Result]] = defaultdict(list)
    for seed in args.seeds:
        for name, run in contenders.items():
            if args.only and name not in args.only:
                continue
            with tempfile.TemporaryDirectory() as folder:
                result = run(args, seed, Path(folder))
            results[name].append(result)
            print(f"seed {seed}  {name:12} {describe(result)}", flush=True)
    for name, found in results.items():
        print(f"{name:12} {summarize(found)}")


def describe(result: Result) -> str:
    return (
        f"{result['seconds']:7.1f} s  accuracy {result['accuracy']:5.1f} %  "
        f"balanced {result['balanced_accuracy']:5.1f} %"
    )


def summarize(results: list[Result]) -> str:
    values = [result["balanced_accuracy"] for result in results]
    mean = sum(values) / len(values)
    return f"balanced accuracy {mean:.1f} % (range {min(values):.1f}-{max(values):.1f})"


def run_fit(args: argparse.Namespace, seed: int, folder: Path) -> Result:
    words = [f"--minutes={args.minutes}", f"seed={seed}", f"work_dir={folder}", *args.overrides]
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")  # or other seeds would share the features
    start = time.perf_counter()
    pochi("fit", str(args.train), *words)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, **score(folder, args.test)}


def run_scratch(args: argparse.Namespace, seed: int, folder: Path) -> Result:
    words = [
        "data=folder",
        f"data.train_root={args.train}",
        "data.val_fraction=0.2",
        f"transform.size={args.scratch_px}",
        "model=resnet18",
        f"seed={seed}",
        f"work_dir={folder}",
    ]
    times = []
    for epochs in (1, 2):  # their difference is an epoch, without what starts and ends a run
        start = time.perf_counter()
        if epochs == 2 and times[0] > args.minutes * 60:
            break
        pochi("train", *words, f"epochs={epochs}", f"work_dir={folder / f'trial_{epochs}'}")
        times.append(time.perf_counter() - start)
    epoch_s = times[-1] - times[0] or times[0]
    epochs = max(int((args.minutes * 60 - times[0]) / epoch_s) + 1, 1)
    start = time.perf_counter()
    pochi("train", *words, f"epochs={epochs}", f"work_dir={folder / 'run'}")
    seconds = time.perf_counter() - start
    return {"seconds": seconds, **score(folder / "run", args.test)}


def run_fastai(args: argparse.Namespace, seed: int, folder: Path) -> Result:
    script = ROOT / "scripts" / "benchmark_fit_fastai.py"
    words = [str(args.train), str(args.test), f"--minutes={args.minutes}", f"--seed={seed}"]
    output = subprocess.run(
        [args.peer, str(script), *words], capture_output=True, text=True, check=True
    ).stdout
    result: Result = json.loads(output.splitlines()[-1])
    return result


def pochi(*words: str) -> None:
    subprocess.run(
        [sys.executable, "-c", "from pochitrain.cli.main import main; main()", *words],
        check=True,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )


def score(work_dir: Path, test: Path) -> Result:
    """The scores of the only run below `work_dir` on the pictures of `test`, in percent."""
    (run,) = {path.parent.parent for path in work_dir.glob("*/models/best.pth")}
    pochi("infer", str(run), f"--data={test}", f"--output={work_dir / 'inference'}")
    table = pd.read_csv(work_dir / "inference" / "inference_results.csv", keep_default_na=False)
    return {
        "accuracy": 100 * accuracy_score(table.true_class, table.predicted_class),
        "balanced_accuracy": 100 * balanced_accuracy_score(table.true_class, table.predicted_class),
    }


if __name__ == "__main__":
    main()
