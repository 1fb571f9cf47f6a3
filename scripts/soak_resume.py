"""Kills and resumes runs for as long as you like: python scripts/soak_resume.py --minutes 60

Each round trains a run undisturbed, then the same one while killing it (kill -9, SIGTERM or Ctrl+C
to the whole process group) after random times until it is finished, and compares every tensor of
the last checkpoint and every byte of the CSV files. Stops at the first difference and keeps both
runs. Options after -- are those of train.py and are added to the ones that each round draws.

    python scripts/soak_resume.py --minutes 5 -- model=resnet18 epochs=3 data.image_size=32
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
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
DEFAULTS = ["model=torchvision", "model.name=squeezenet1_1", "data.image_size=32", "epochs=3"]
RATES = "+layer_wise_lr.layer_rates={features: 0.0003, classifier: 0.001}"
DRAWN = (
    ["data.num_workers=0", "data.num_workers=2"],
    ["checkpoint.every_steps=7", "checkpoint.every_minutes=0.02", "checkpoint.every_epochs=2"],
    ["checkpoint.in_background=true", "checkpoint.in_background=false"],
    ["gradient_accumulation=1", "gradient_accumulation=3"],
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
    ["precision=fp32", "precision=bf16"],
    ["checkpoint.keep_last=2", "checkpoint.keep_last=1"],
    ["ema_decay=null", "ema_decay=0.99"],
    ["gradient_tracking.enabled=false", "gradient_tracking.enabled=true"],
    ["early_stopping.enabled=false", "early_stopping.enabled=true"],
)
SETTING = re.compile(r"\S+=\{.*?\}|\S+")
"""A word on the command line; a mapping may hold blanks."""
MAX_KILLS = 6
"""Of one run; the next part of it is left alone."""
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def start(words: list[str], log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(ROOT / "train.py"), *words]
    with log.open("ab") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)


def is_finished(work_dir: Path) -> bool:
    return any('"finished"' in path.read_text() for path in work_dir.glob("*/status.json"))


def disturb(
    words: list[str], work_dir: Path, log: Path, seconds: float, dice: random.Random
) -> list[str]:
    """Run to the end through kills after random times; the signals that were sent.

    Args:
        seconds: how long the whole run takes undisturbed.
    """
    sent: list[str] = []
    while True:
        process = start([*words, f"work_dir={work_dir}", "resume=auto"], log)
        try:
            # Mostly within the run; some kills come while it starts or ends.
            wait = dice.uniform(0.2, 1.0) * seconds if len(sent) < MAX_KILLS else None
            code = process.wait(timeout=wait)
        except subprocess.TimeoutExpired:
            number = dice.choice(SIGNALS)
            os.killpg(process.pid, number)
            code = process.wait()
            sent.append(number.name)
        # Killed while the interpreter shut down, nothing is left to do: resume=auto would begin a
        # new run.
        if code == 0 or is_finished(work_dir):
            return sent
        if code not in (130, 143) and -code not in SIGNALS:
            raise SystemExit(f"exit code {code}, see {log}")


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
    return [] if left == right or left != left else [path]


def compare(whole: Path, broken: Path) -> list[str]:
    found = []
    for name in ("last.pth", "best.pth"):
        a, b = (torch.load(run / "models" / name, weights_only=True) for run in (whole, broken))
        a.pop("config"), b.pop("config")  # they say resume=null and resume=auto
        found += differences(a, b, name)
    for table in sorted(path.name for path in whole.glob("*.csv")):
        if (whole / table).read_bytes() != (broken / table).read_bytes():
            found.append(table)
    return found


def play_round(number: int, extra: list[str], folder: Path, dice: random.Random) -> int:
    """One undisturbed and one disturbed run; how often the latter was killed."""
    drawn = [dice.choice(choices) for choices in DRAWN]
    settings = [word for choice in drawn for word in SETTING.findall(choice)]
    words = [*DEFAULTS, *settings, f"seed={number}", *extra]
    begin = time.monotonic()
    code = start([*words, f"work_dir={folder}/whole"], folder / "whole.log").wait()
    if code != 0:
        raise SystemExit(f"the undisturbed run ended with {code}, see {folder}/whole.log")
    seconds = time.monotonic() - begin
    sent = disturb(words, folder / "broken", folder / "broken.log", seconds, dice)
    runs = [
        [p.parent for p in (folder / kind).glob("*/config.yaml")] for kind in ("whole", "broken")
    ]
    if [len(found) for found in runs] != [1, 1]:
        raise SystemExit(f"expected one run directory each, see {folder}")
    found = compare(runs[0][0], runs[1][0])
    print(f"round {number}: {' '.join(drawn)}: {len(sent)} x {' '.join(sent)}", flush=True)
    if found:
        print(f"{len(found)} difference(s): {', '.join(found[:20])}. Both runs are in {folder}.")
        raise SystemExit(1)
    return len(sent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=None, help="at most so many")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("extra", nargs="*", help="after --: options of train.py")
    options = parser.parse_args()
    dice = random.Random(options.seed)
    end = time.monotonic() + 60 * options.minutes
    kills = rounds = 0
    print(f"seed {options.seed}")
    while time.monotonic() < end and rounds != options.rounds:
        folder = Path(tempfile.mkdtemp(prefix="soak_resume_"))
        kills += play_round(rounds, options.extra, folder, dice)
        rounds += 1
        shutil.rmtree(folder)
    print(f"{rounds} runs, killed {kills} times, each equal to its undisturbed twin: 0 differences")


if __name__ == "__main__":
    main()
