"""Kills searches at random moments, and checks what is left.

    python scripts/kill_search.py [--kills 10] [--trials 12] [--storage sqlite] [--n-jobs 1]
    python scripts/kill_search.py --workers 8 --kills 2 --storage postgresql --away-s 15

One search is started again after each kill. With several workers, that many searches work on one
study at the same time; some are killed for good, and with --away-s the PostgreSQL server is stopped
for that long in the middle. At the end: exactly the total of finished trials, every trial directory
written by one trial only, and the result files valid JSON whenever they were looked at.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from tests.sweep.postgresql_server import PostgresServer  # noqa: E402


def make_pictures(root: Path) -> Path:
    generator = np.random.default_rng(0)
    for name, level in (("bright", 200), ("dark", 50)):
        (root / name).mkdir(parents=True)
        for i in range(20):
            pixels = level + generator.integers(-40, 40, (24, 24, 3))
            Image.fromarray(pixels.astype("uint8")).save(root / name / f"{i}.png")
    return root


def command(work: Path, url: str, options: argparse.Namespace) -> list[str]:
    if options.task == "quick":
        return [
            *(sys.executable, "-m", "tests.sweep.sphere", "--multirun"),
            *(
                "hydra/sweeper=pochi",
                "hydra/sweeper/sampler=random",
                "hydra.sweeper.sampler.seed=1",
            ),
            "hydra.sweeper.study_name=s",
            f"hydra.sweeper.storage={url}",
            f"hydra.sweeper.n_trials={options.trials}",
            "hydra.sweeper.n_jobs=1",
            f"hydra.sweep.dir={work}/out",
            *("x=interval(-5.0,5.0)", "y=interval(-5.0,5.0)", "epochs=4", "sleep_s=0.5"),
        ]
    data = ["data=folder", f"data.train_root={work}/pictures", "data.val_fraction=0.3"]
    return [
        *(sys.executable, "train.py", "--multirun", "optuna=default", "optuna.study_name=s"),
        f"optuna.storage={url}",
        f"optuna.n_trials={options.trials}",
        f"optuna.n_jobs={options.n_jobs}",
        "optuna.optuna_epochs=3",
        *(["data=digits"] if options.workers > 1 else [*data, "transform=minimal"]),
        "data.num_workers=0",
        *("model=torchvision", "model.name=squeezenet1_1"),
        f"work_dir={work}/out",
    ]


@contextmanager
def storage_url(kind: str, work: Path) -> Iterator[tuple[str, PostgresServer | None]]:
    """The URL of a storage of a kind, and the server behind it."""
    if kind != "postgresql":
        scheme, suffix = {"sqlite": ("sqlite:///", "db")}.get(kind, ("journal://", "journal"))
        yield f"{scheme}{work}/study.{suffix}", None
        return
    server = PostgresServer()
    try:
        yield server.url, server
    finally:
        server.close()


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


def kill_one(work: Path, words: list[str], options: argparse.Namespace) -> None:
    """Kill one search again and again, and start it each time."""
    folder = work / "out" / "optuna_results"
    times: dict[Path, int] = {}
    seen = {"valid": 0}
    for kill in range(options.kills):
        process = subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=REPOSITORY
        )
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
    final = subprocess.run(words, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    print(final.stdout[-1500:], final.stderr[-1500:])
    done = check_directories(folder, times)
    history = json.loads((folder / "trials_history.json").read_text())
    states = [row["state"] for row in history]
    print(f"{seen['valid']} readings of result files, all valid; states: {states}")
    assert final.returncode == 0 and done == options.trials, (final.returncode, done)
    assert "RUNNING" not in states, states
    assert [path.name for path in (work / "out").iterdir()] == ["optuna_results"]
    print(f"OK: {done} finished trials after {options.kills} kills ({options.storage}); {work}")


def kill_some(
    work: Path,
    words: list[str],
    url: str,
    server: PostgresServer | None,
    options: argparse.Namespace,
) -> None:
    """Let several searches work on one study, kill some, and restart the server of the study."""
    folder = work / "out" if options.task == "quick" else work / "out" / "optuna_results"
    began = time.monotonic()
    processes = []
    for number in range(options.workers):
        with open(work / f"worker_{number}.txt", "w") as output:
            processes.append(
                subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT, cwd=REPOSITORY)
            )
    survivors = list(processes)
    while len(read(url)) < options.workers and any(p.poll() is None for p in processes):
        time.sleep(0.1)
    for kill in range(options.kills):
        wait_until_done(url, (kill + 1) * options.trials // (options.kills + 3), processes)
        time.sleep(random.uniform(0.0, 1.0))
        victim = survivors.pop(random.randrange(len(survivors)))
        victim.kill()
        victim.wait()
        print(f"kill {kill + 1} with {count_done(read(url))} done", flush=True)
    if server is not None and options.away_s:
        wait_until_done(url, 2 * options.trials // 3, processes)
        done = count_done(read(url))
        server.stop(signal.SIGINT)
        print(f"server stopped with {done} done, for {options.away_s:.0f} s", flush=True)
        time.sleep(options.away_s)
        server.start()
    codes = [process.wait(timeout=1800) for process in survivors]
    trials = read(url)
    states = [trial.state.name for trial in trials]
    reasons = [
        trial.user_attrs.get("fail_reason") for trial in trials if trial.state.name == "FAIL"
    ]
    finished = [trial for trial in trials if trial.state.name in ("COMPLETE", "PRUNED")]
    print(f"exit codes {codes}; states: {states}\nreasons: {reasons}")
    assert set(codes) == {0}, codes
    assert len(finished) == options.trials, (len(finished), options.trials)
    assert not {"RUNNING", "WAITING"} & set(states), states
    assert [trial.number for trial in trials] == list(range(len(trials)))
    different = {tuple(sorted(trial.params.items())) for trial in finished}
    assert len(different) == len(finished), "the same parameters were tried twice"
    pattern = "*/facts.json" if options.task == "quick" else "trial_*/models/last.pth"
    written = {
        int(path.relative_to(folder).parts[0].removeprefix("trial_"))
        for path in folder.glob(pattern)
    }
    assert {trial.number for trial in finished} <= written, "a directory is missing"
    secret = server.password if server is not None else "no secret"
    leaked = [str(path) for path in work.rglob("*") if path.is_file() and holds(path, secret)]
    assert not leaked, leaked
    print(
        f"OK: {len(finished)} of {options.trials} trials finished once each by {options.workers} "
        f"searches, {options.kills} of them killed, {len(states) - len(finished)} trials failed "
        f"({options.storage}, {options.task}, {time.monotonic() - began:.0f} s); {work}"
    )


def read(url: str) -> list[Any]:
    """The trials of the study; none while it is not there yet."""
    import optuna

    from pochitrain.sweep.storage import open_storage, resolve_storage

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if url not in _storages:
        _storages[url] = open_storage(resolve_storage(url))
    try:
        return optuna.load_study(study_name="s", storage=_storages[url]).trials
    except KeyError:
        return []


_storages: dict[str, Any] = {}


def count_done(trials: list[Any]) -> int:
    return sum(trial.state.name in ("COMPLETE", "PRUNED") for trial in trials)


def wait_until_done(url: str, count: int, processes: list[subprocess.Popen[bytes]]) -> None:
    while count_done(read(url)) < count:
        assert any(process.poll() is None for process in processes), "all searches have ended"
        time.sleep(0.2)


def holds(path: Path, secret: str) -> bool:
    return secret.encode() in path.read_bytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--storage", choices=("sqlite", "journal", "postgresql"), default="sqlite")
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--longest-s", type=float, default=20.0)
    parser.add_argument("--workers", type=int, default=1, help="searches at the same time")
    parser.add_argument("--away-s", type=float, default=0.0, help="seconds without the server")
    parser.add_argument("--task", choices=("training", "quick"), default="training")
    options = parser.parse_args()
    random.seed(0)
    work = Path(tempfile.mkdtemp(prefix="kill_search_"))
    make_pictures(work / "pictures")
    with storage_url(options.storage, work) as (url, server):
        words = command(work, url, options)
        if options.workers == 1:
            kill_one(work, words, options)
        else:
            kill_some(work, words, url, server, options)


if __name__ == "__main__":
    main()
