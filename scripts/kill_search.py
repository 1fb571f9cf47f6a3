"""Kills a search at random moments, starts it again each time, and checks what is left.

    python scripts/kill_search.py [--kills 10] [--trials 12] [--storage sqlite] [--n-jobs 1]

At the end: exactly the total of finished trials, every trial directory written by one trial only,
and the result files valid JSON whenever they were looked at.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

REPOSITORY = Path(__file__).resolve().parent.parent


def make_pictures(root: Path) -> Path:
    generator = np.random.default_rng(0)
    for name, level in (("bright", 200), ("dark", 50)):
        (root / name).mkdir(parents=True)
        for i in range(20):
            pixels = level + generator.integers(-40, 40, (24, 24, 3))
            Image.fromarray(pixels.astype("uint8")).save(root / name / f"{i}.png")
    return root


def command(work: Path, storage: str, trials: int, n_jobs: int) -> list[str]:
    url = {"sqlite": f"sqlite:///{work}/study.db", "journal": f"journal://{work}/study.journal"}
    return [
        sys.executable,
        str(REPOSITORY / "train.py"),
        "--multirun",
        "optuna=default",
        f"optuna.storage={url[storage]}",
        f"optuna.n_trials={trials}",
        f"optuna.n_jobs={n_jobs}",
        "optuna.optuna_epochs=3",
        "data=folder",
        f"data.train_root={work}/pictures",
        "data.val_fraction=0.3",
        "data.num_workers=0",
        "transform=minimal",
        "model=torchvision",
        "model.name=squeezenet1_1",
        f"work_dir={work}/out",
    ]


def check_json(folder: Path, seen: dict[str, int]) -> None:
    for path in folder.glob("*.json"):
        json.loads(path.read_text())
        seen["valid"] += 1


def check_directories(folder: Path, times: dict[Path, int]) -> int:
    """Directories of finished trials must not change any more; gives how many there are."""
    history = json.loads((folder / "trials_history.json").read_text())
    done = [row["number"] for row in history if row["state"] in ("COMPLETE", "PRUNED")]
    for number in done:
        path = folder / f"trial_{number:04d}" / "models" / "last.pth"
        assert times.setdefault(path, path.stat().st_mtime_ns) == path.stat().st_mtime_ns, path
    return len(done)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--storage", choices=("sqlite", "journal"), default="sqlite")
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--longest-s", type=float, default=20.0)
    options = parser.parse_args()
    random.seed(0)
    work = Path(tempfile.mkdtemp(prefix="kill_search_"))
    make_pictures(work / "pictures")
    folder = work / "out" / "optuna_results"
    words = command(work, options.storage, options.trials, options.n_jobs)
    times: dict[Path, int] = {}
    seen = {"valid": 0}
    for kill in range(options.kills):
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + random.uniform(4.0, options.longest_s)
        while time.monotonic() < end and process.poll() is None:
            check_json(folder, seen)
            time.sleep(0.05)
        alive = process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        check_json(folder, seen)
        done = check_directories(folder, times) if (folder / "trials_history.json").exists() else 0
        print(f"kill {kill + 1}: {'killed' if alive else 'had ended'}, {done} done", flush=True)
    final = subprocess.run(words, capture_output=True, text=True, check=False)
    print(final.stdout[-1500:], final.stderr[-1500:])
    done = check_directories(folder, times)
    history = json.loads((folder / "trials_history.json").read_text())
    states = [row["state"] for row in history]
    print(f"{seen['valid']} readings of result files, all valid; states: {states}")
    assert final.returncode == 0 and done == options.trials, (final.returncode, done)
    assert "RUNNING" not in states, states
    assert [path.name for path in (work / "out").iterdir()] == ["optuna_results"]
    print(f"OK: {done} finished trials after {options.kills} kills ({options.storage}); {work}")


if __name__ == "__main__":
    main()
