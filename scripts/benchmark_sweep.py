"""What pruning, worker processes and our own code cost and save, as ratios from one run.

    python scripts/benchmark_sweep.py pruning     # ours, ours without pruning, the stock sweeper
    python scripts/benchmark_sweep.py parallel    # trials per minute for n_jobs and threads
    python scripts/benchmark_sweep.py overhead    # our cost per trial beyond training

Everything trains on the digits of scikit-learn; `--model` and `--size` say how heavily. The machine
should have nothing else to do.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from kill_search import make_pictures

REPOSITORY = Path(__file__).resolve().parent.parent
SPACE = ("learning_rate=tag(log,interval(1e-5,1e-1))", "batch_size=16,32")


@dataclass
class Result:
    name: str
    seconds: float
    best: float
    folder: Path


def run(name: str, options: Any, work: Path, words: list[str], threads: int = 0) -> Result:
    """Run one search in a process of its own; gives its wall-clock time and its best value."""
    command = [
        sys.executable,
        str(REPOSITORY / "train.py"),
        "--multirun",
        "model=torchvision",
        f"model.name={options.model}",
        "device=cpu",
        "data.num_workers=0",
        *words,
    ]
    environment = dict(os.environ)
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    found = yaml.safe_load((work / "optimization_results.yaml").read_text())
    result = Result(name, seconds, found["best_value"], work)
    print(f"{name:<28} {seconds:8.1f} s   best {result.best:.2f} %", flush=True)
    return result


def ours(options: Any, work: Path, *words: str) -> list[str]:
    return [
        "optuna=default",
        f"hydra.sweep.dir={work}",
        f"optuna.n_trials={options.trials}",
        f"optuna.optuna_epochs={options.epochs}",
        *words,
    ]


def on_digits(options: Any) -> list[str]:
    return ["data=digits", f"data.image_size={options.size}"]


def stock(options: Any, work: Path) -> list[str]:
    return [
        "hydra/sweeper=optuna",
        f"hydra.sweep.dir={work}",
        "hydra.sweep.subdir='${hydra.job.num}'",
        f"hydra.sweeper.n_trials={options.trials}",
        "hydra.sweeper.n_jobs=1",
        "hydra.sweeper.direction=maximize",
        "hydra.sweeper.sampler.seed=0",
        f"epochs={options.epochs}",
        *on_digits(options),
        *SPACE,
        "optimizer=sgd,adam,adamw",
    ]


def measure_pruning(options: Any, work: Path) -> None:
    base, full = work / "none", work / "median"
    plain = run("stock sweeper", options, work / "stock", stock(options, work / "stock"))
    none = run(
        "ours, no pruning",
        options,
        base,
        ours(options, base, *on_digits(options), "optuna.pruner=null"),
    )
    pruned = run("ours, MedianPruner", options, full, ours(options, full, *on_digits(options)))
    both = work / "both"
    words = ours(options, both, *on_digits(options), f"optuna.n_jobs={options.jobs}")
    parallel = run(f"ours, pruned, n_jobs={options.jobs}", options, both, words)
    statistics = json.loads((full / "study_statistics.json").read_text())["statistics"]
    print(f"pruned {statistics['n_pruned']} of {options.trials} trials")
    print(f"no pruning / MedianPruner: {none.seconds / pruned.seconds:.2f}x (goal 1.5x)")
    print(f"stock / MedianPruner: {plain.seconds / pruned.seconds:.2f}x")
    print(f"stock / everything on: {plain.seconds / parallel.seconds:.2f}x (goal 2x)")
    print(f"best value, pruned minus not pruned: {pruned.best - none.best:+.2f} points")


def measure_parallel(options: Any, work: Path) -> None:
    rates = {}
    for jobs, threads in ((1, 1), (1, options.jobs), (options.jobs, 0)):
        folder = work / f"{jobs}_{threads}"
        words = ours(
            options, folder, *on_digits(options), f"optuna.n_jobs={jobs}", "optuna.pruner=null"
        )
        label = f"n_jobs={jobs}, {threads or 'own'} threads"
        result = run(label, options, folder, words, threads)
        rates[jobs, threads] = 60 * options.trials / result.seconds
        print(f"  {rates[jobs, threads]:.2f} trials per minute")
    many = rates[options.jobs, 0]
    print(f"n_jobs={options.jobs} / n_jobs=1 with 1 thread: {many / rates[1, 1]:.2f}x (goal 1.8x)")
    print(
        f"n_jobs={options.jobs} / n_jobs=1 with {options.jobs} threads: "
        f"{many / rates[1, options.jobs]:.2f}x (goal 1.1x)"
    )


def measure_overhead(options: Any, work: Path) -> None:
    """Time per trial minus the time of its epoch, which the trial itself prints."""
    dataset = make_pictures(work / "pictures")
    work = work / "overhead"
    words = ours(options, work, "optuna.pruner=MedianPruner", "optuna.optuna_epochs=1")
    words += ["data=folder", f"data.train_root={dataset}", "data.val_fraction=0.3"]
    words += ["transform=minimal", "optuna.search_space.batch_size.choices=[28,64]"]
    began = time.perf_counter()
    run(f"{options.trials} trials of one step", options, work, words)
    total = time.perf_counter() - began
    history = json.loads((work / "trials_history.json").read_text())
    epochs = []
    for row in history:
        log = (work / f"trial_{row['number']:04d}" / "output.log").read_text()
        (seconds,) = re.findall(r"^epoch 1/1 .*?([\d.]+) s", log, re.MULTILINE)
        epochs.append(float(seconds))
    ends = [datetime.fromisoformat(row["datetime_complete"]) for row in history]
    gaps = [
        (end - before).total_seconds() - epoch_s
        for before, end, epoch_s in zip(ends, ends[1:], epochs[1:], strict=False)
    ]
    rest = total - sum(epochs)
    print(f"epochs {sum(epochs):.1f} s, everything else {rest:.1f} s (start and end included)")
    print(f"our cost per trial: {rest / len(history):.2f} s")
    print(
        f"from the end of a trial to that of the next: median {statistics.median(gaps):.3f} s, "
        f"mean {statistics.mean(gaps):.3f} s with what is done once (goal 0.2 s)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("pruning", "parallel", "overhead"))
    parser.add_argument("--trials", type=int, default=0, help="default 20, 8 and 50")
    parser.add_argument("--epochs", type=int, default=0, help="of a trial; default 10 and 2")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--model", default="squeezenet1_1")
    parser.add_argument("--size", type=int, default=32, help="of the digits, pixels")
    options = parser.parse_args()
    options.trials = options.trials or {"pruning": 20, "parallel": 8, "overhead": 50}[options.what]
    options.epochs = options.epochs or (10 if options.what == "pruning" else 2)
    work = Path(tempfile.mkdtemp(prefix="benchmark_sweep_"))
    measure = {
        "pruning": measure_pruning,
        "parallel": measure_parallel,
        "overhead": measure_overhead,
    }
    measure[options.what](options, work)


if __name__ == "__main__":
    main()
