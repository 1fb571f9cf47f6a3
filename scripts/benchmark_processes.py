"""Training in several processes against one process with as many threads, by turns.

    python scripts/benchmark_processes.py -n 2 --turns 3 data=digits model=resnet18 epochs=3

The words after the options are overrides of pochi train. Each turn trains once in one process with
N threads and once in N processes with one thread each, on the CPU, and takes the images per second
of the best epoch but the first. Printed: the median of the turns, and of their ratio.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

TRAIN = Path(__file__).resolve().parent.parent / "train.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=2, help="processes")
    parser.add_argument("--turns", type=int, default=3)
    args, overrides = parser.parse_known_args()
    launch = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={args.n}"]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        words = [*overrides, "device=cpu", f"work_dir={folder}"]
        for turn in range(args.turns):
            one = measure([sys.executable, str(TRAIN), *words], num_threads=args.n)
            launch = [
                sys.executable,
                "-m",
                "torch.distributed.run",
                "--nproc-per-node",
                str(args.n),
            ]
            many = measure([*launch, str(TRAIN), *words], num_threads=1)
            rows.append((one, many))
            print(f"turn {turn + 1}: {one:.0f} and {many:.0f} images/s, ratio {many / one:.3f}")
    ones, manys = zip(*rows, strict=True)
    ratio = statistics.median(many / one for one, many in rows)
    print(
        f"1 process with {args.n} threads: {statistics.median(ones):.0f} images/s; {args.n} "
        f"processes with 1 thread: {statistics.median(manys):.0f}; median ratio {ratio:.3f}"
    )


def measure(command: list[str], num_threads: int) -> float:
    """Images per second of the best epoch but the first, in training and validation."""
    env = {**os.environ, "OMP_NUM_THREADS": str(num_threads)}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    speeds = [float(text) for text in re.findall(r"(\d+) images/s", done.stdout)]
    return max(speeds[1:] or speeds)


if __name__ == "__main__":
    main()
