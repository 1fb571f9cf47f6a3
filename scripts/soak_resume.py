"""Kills and resumes runs at random moments: python scripts/soak_resume.py --kills 20

Each round trains a run undisturbed, then the same one while stopping it (kill -9, SIGTERM or Ctrl+C
to the whole process group) at random moments until it is finished, and compares the two: every
value of last.pth, best.pth and ema.pth, and every byte of the CSV files. The first stop of a round
is a SIGTERM in the middle of validation. Averaged weights (EMA), loader processes and gradient
accumulation are drawn together with the rest of the config; the first round has all three. Ends
at the first difference and keeps both runs. Options after -- are those of train.py and are added to
the ones that each round draws.

    python scripts/soak_resume.py --minutes 60
    python scripts/soak_resume.py --kills 4 -- model=resnet18 data.image_size=32
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import torch

from pochitrain.engine.callback import Callback
from pochitrain.engine.state import TrainState

ROOT = Path(__file__).resolve().parent.parent
DEFAULTS = [
    "model=torchvision",
    "model.name=mobilenet_v3_small",
    "data.image_size=32",
    "epochs=3",
    "allow_targets=[soak_resume.*]",
    "+callbacks.soak._target_=soak_resume.ValidationMarker",
]
RATES = "+layer_wise_lr.layer_rates={features: 0.0003, classifier: 0.001}"
COMBINED = (
    ["ema_decay=0.99", "ema_decay=null"],
    ["data.num_workers=2", "data.num_workers=0"],
    ["gradient_accumulation=3", "gradient_accumulation=1"],
)
"""Every combination of these comes once in eight rounds."""
DRAWN = (
    ["checkpoint.every_steps=7", "checkpoint.every_minutes=0.02", "checkpoint.every_epochs=2"],
    ["checkpoint.in_background=true", "checkpoint.in_background=false"],
    ["optimizer=sgd", "optimizer=adamw"],
    [
        "scheduler=none",
        "scheduler=steplr",
        "scheduler=multisteplr scheduler.milestones=[1,2]",
        "scheduler=cosineannealinglr",
        "scheduler=exponentiallr",
        "scheduler=linearlr",
    ],
    ["warmup_epochs=0", "warmup_epochs=1"],
    ["layer_wise_lr=none", f"layer_wise_lr.enabled=true {RATES}"],
    ["transform=minimal", "transform=augment", "transform=mixup", "transform=randaugment"],
    ["model.freeze=null", "model.freeze=1"],
    ["precision=fp32", *(["precision=bf16"] if torch.cuda.is_available() else [])],
    ["checkpoint.keep_last=2", "checkpoint.keep_last=1"],
    ["gradient_tracking.enabled=false", "gradient_tracking.enabled=true"],
    ["early_stopping.enabled=false", "early_stopping.enabled=true"],
)
SETTING = re.compile(r"\S+=\{.*?\}|\S+")
"""An argument of the command line; a mapping may hold blanks."""
MAX_KILLS = 3
"""Of one run; after that it is left alone."""
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
MARKER = "SOAK_MARKER"
"""Environment variable: a file that is made when validation begins."""
STOPPED_IN_VALIDATION = re.compile(r"after (\d+) of \1 batches|evaluation of the average")
"""In the message of a run that was stopped when the training batches of an epoch were done."""


class ValidationMarker(Callback):
    """Makes the file that SOAK_MARKER names when a validation begins."""

    def on_validation_start(self, state: TrainState) -> None:
        if MARKER in os.environ:
            Path(os.environ[MARKER]).touch()


def start(arguments: list[str], log: Path, marker: Path | None = None) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(ROOT / "train.py"), *arguments]
    paths = [str(ROOT / "scripts"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    if marker is not None:
        env[MARKER] = str(marker)
    with log.open("ab") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True, env=env)


def is_finished(work_dir: Path) -> bool:
    return any('"finished"' in path.read_text() for path in work_dir.glob("*/status.json"))


def disturb(
    arguments: list[str], folder: Path, seconds: float, max_kills: int, dice: random.Random
) -> list[str]:
    """Run to the end through stops at random moments; what stopped it, such as "SIGKILL".

    Args:
        folder: the run goes into `broken/` below it, its output into `broken.log`.
        seconds: how long the whole run takes undisturbed.
    """
    work_dir, log, marker = folder / "broken", folder / "broken.log", folder / "validation"
    stops: list[str] = []
    while True:
        marker.unlink(missing_ok=True)
        offset = log.stat().st_size if log.exists() else 0
        process = start([*arguments, f"work_dir={work_dir}", "resume=auto"], log, marker)
        number = None
        if len(stops) < max_kills:
            number = signal.SIGTERM if not stops else dice.choice(SIGNALS)
            if not stops:
                wait_for(marker, process)
                wait = dice.uniform(0.0, 0.02) * seconds
            else:  # mostly within the run; some come while it starts or ends
                wait = dice.uniform(0.2, 1.0) * seconds
            code = stop(process, number, wait)
        else:
            code = process.wait()
        text = log.read_bytes()[offset:].decode(errors="replace")
        # A run that was killed while the interpreter shut down has nothing left to do: resume=auto
        # would begin a new one.
        if code == 0 or is_finished(work_dir):
            return stops
        if number is None or code not in (-number, 128 + number):
            raise SystemExit(f"exit code {code}, see {log}")
        place = " in validation" if STOPPED_IN_VALIDATION.search(text) else ""
        stops.append(f"{number.name}{place}")


def wait_for(marker: Path, process: subprocess.Popen[bytes]) -> None:
    """Until the file is there or the process has ended."""
    while process.poll() is None and not marker.exists():
        time.sleep(0.005)


def stop(process: subprocess.Popen[bytes], number: signal.Signals, wait: float) -> int:
    """Signal the process group after `wait` seconds; the exit code."""
    try:
        return process.wait(timeout=wait)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, number)
        return process.wait()


def differences(left: Any, right: Any, path: str) -> list[str]:
    """Names of the tensors and values that differ, bit for bit."""
    if isinstance(left, torch.Tensor):
        return [] if left.numpy().tobytes() == right.numpy().tobytes() else [path]
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


def compare(whole: Path, broken: Path) -> list[str]:
    """Where the results of two runs differ."""
    found = []
    for name in ("last.pth", "best.pth", "ema.pth"):
        there = [(run / "models" / name).exists() for run in (whole, broken)]
        if there != [True, True]:
            found += [name] if any(there) or name != "ema.pth" else []
            continue
        a, b = (torch.load(run / "models" / name, weights_only=True) for run in (whole, broken))
        a.pop("config"), b.pop("config")  # they say resume=null and resume=auto
        found += differences(a, b, name)
    tables = [{path.name: path.read_bytes() for path in r.glob("*.csv")} for r in (whole, broken)]
    names = sorted(tables[0].keys() | tables[1].keys())
    return found + [name for name in names if tables[0].get(name) != tables[1].get(name)]


def combinations(dice: random.Random) -> Iterator[tuple[str, ...]]:
    """Those of COMBINED, again and again: first all that is on, then the others in any order."""
    first, *others = product(*COMBINED)
    while True:
        dice.shuffle(others)
        yield from [first, *others]


def play_round(
    number: int,
    settings: list[str],
    extra: list[str],
    folder: Path,
    max_kills: int,
    dice: random.Random,
) -> list[str]:
    """One undisturbed and one disturbed run; what stopped the latter."""
    words = [word for setting in settings for word in SETTING.findall(setting)]
    arguments = [*DEFAULTS, *words, f"seed={number}", *extra]
    begin = time.monotonic()
    code = start([*arguments, f"work_dir={folder}/whole"], folder / "whole.log").wait()
    if code != 0:
        raise SystemExit(f"the undisturbed run ended with {code}, see {folder}/whole.log")
    seconds = time.monotonic() - begin
    stops = disturb(arguments, folder, seconds, max_kills, dice)
    runs = [
        [p.parent for p in (folder / kind).glob("*/config.yaml")] for kind in ("whole", "broken")
    ]
    if [len(found) for found in runs] != [1, 1]:
        raise SystemExit(f"expected one run directory each, see {folder}")
    found = compare(runs[0][0], runs[1][0])
    print(f"round {number}: {' '.join(settings)}: {', '.join(stops) or 'not stopped'}", flush=True)
    if found:
        print(f"{len(found)} difference(s): {', '.join(found[:20])}. Both runs are in {folder}.")
        raise SystemExit(1)
    return stops


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=None, help="end after so many stops")
    parser.add_argument("--minutes", type=float, default=None, help="end after so long")
    parser.add_argument("--rounds", type=int, default=None, help="at most so many")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("extra", nargs="*", help="after --: options of train.py")
    options = parser.parse_args()
    if options.kills is None and options.minutes is None and options.rounds is None:
        options.minutes = 60.0
    dice = random.Random(options.seed)
    end = float("inf") if options.minutes is None else time.monotonic() + 60 * options.minutes
    stops: Counter[str] = Counter()
    rounds = 0
    print(f"seed {options.seed}")
    combined = combinations(dice)
    while time.monotonic() < end and rounds != options.rounds:
        left = MAX_KILLS if options.kills is None else options.kills - stops.total()
        if left <= 0:
            break
        settings = [*next(combined), *(dice.choice(choices) for choices in DRAWN)]
        folder = Path(tempfile.mkdtemp(prefix="soak_resume_"))
        stops.update(
            play_round(rounds, settings, options.extra, folder, min(left, MAX_KILLS), dice)
        )
        rounds += 1
        shutil.rmtree(folder)
    kinds = ", ".join(f"{count} x {kind}" for kind, count in sorted(stops.items()))
    print(
        f"{rounds} runs, stopped {stops.total()} times ({kinds or 'never'}), each equal to its "
        "undisturbed twin: 0 differences"
    )


if __name__ == "__main__":
    main()
