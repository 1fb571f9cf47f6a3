"""Gives train.py wrong settings, drawn at random: python scripts/soak_wrong_input.py --inputs 200

Each input is one wrong value, or one misspelt key, for a key of the composed tree, typed on the
real command line in a folder with a few pictures. It must end with exit code 2 and one line that
names the key, without a traceback, and leave nothing behind. Every key comes before any comes
twice.

Some drawn values may be legal (a negative number, a long text). So that these do not train, each
command also holds a work_dir that no directory can be made in, which is found out last of all: an
input that gets as far was accepted. One that is certainly wrong must not get there; the others are
listed, for a person to look at. `--seed` repeats a run.
"""

import argparse
import collections
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, ListConfig
from PIL import Image

from pochitrain.cli.main import main as pochi
from pochitrain.config.registry import register_config
from pochitrain.paths import config_directory

LAST = "work_dir=blocker/runs"
PHOTOS = "data=folder data.train_root=photos data.val_fraction=0.5 transform.size=32 batch_size=2"
BASES = (
    "",
    f"{PHOTOS} optimizer=sgd scheduler=steplr loss=manual loss.class_weights=[1,2]",
    f"{PHOTOS} optimizer=adamw transform=modern layer_wise_lr=decay layer_wise_lr.decay=0.5",
    "scheduler=multisteplr scheduler.milestones=[2,3] layer_wise_lr=resnet warmup_epochs=1",
    "scheduler=exponentiallr early_stopping.enabled=true ema_decay=0.9 loss=uniform",
    "scheduler=linearlr gradient_tracking.enabled=true gradient_clip_norm=1 transform=mixup",
    "scheduler=none model=torchvision model.name=shufflenet_v2_x0_5 model.freeze=1",
)
NUMBERS = ("-1", "0", "-0.5", "1e30", "-1e308", "nan", "inf", "1" + "0" * 30)
TEXTS = ("''", "模型", "'\\u202e'", "'a b'", "-1", "a/../..", "x" * 5000)
LISTED = {"IntegerNode": "['many']", "FloatNode": "['many']", "BooleanNode": "[5]"}
TIME_LIMIT_S = 120


@dataclass(frozen=True)
class Wrong:
    base: str
    key: str
    word: str
    sort: str
    certain: bool
    """Whether it is wrong by its type alone."""


def find_leaves(node: DictConfig | ListConfig, prefix: str = "") -> Iterator[tuple[str, Any]]:
    names = range(len(node)) if isinstance(node, ListConfig) else list(node)
    for name in names:
        child: Any = node._get_node(name)
        key = f"{prefix}{name}"
        if isinstance(child, DictConfig) and len(child):
            yield from find_leaves(child, f"{key}.")
        else:
            yield key, child
            nested = isinstance(child, ListConfig) and not child._is_none() and len(child)
            if nested and isinstance(child._get_node(0), DictConfig):
                yield from find_leaves(child, f"{key}.")


def draw(base: str, key: str, node: Any, dice: random.Random) -> Wrong:
    """One wrong value for a key, or the key misspelt."""
    kind, optional = type(node).__name__, node._is_optional()
    certain = [("misspelt key", misspell(key, dice))]
    maybe = []
    if not optional:
        certain.append(("null", f"{key}=null"))
    if kind in LISTED:
        certain += [("wrong type", f"{key}={word}") for word in ("many", "''", "{a:1}", "模型")]
        certain.append(("list for scalar", f"{key}={LISTED[kind]}"))
    if kind in ("IntegerNode", "FloatNode"):
        maybe += [("number", f"{key}={word}") for word in NUMBERS]
    if kind == "IntegerNode":
        certain += [("wrong type", f"{key}=1.5"), ("wrong type", f"{key}=nan")]
    if kind == "BooleanNode":
        certain.append(("wrong type", f"{key}=7"))
    if kind == "StringNode":
        certain += [("list for scalar", f"{key}=[a]"), ("wrong type", f"{key}={{a:1}}")]
    if kind in ("StringNode", "AnyNode"):
        maybe += [("text", f"{key}={word}") for word in TEXTS]
    if kind == "ListConfig":
        certain += [("scalar for list", f"{key}={word}") for word in ("many", "5", "{a:1}")]
        maybe += [("list", f"{key}={word}") for word in ("[]", "[null]", "[[1]]", "[-1,nan]")]
    if kind == "AnyNode":
        maybe += [("wrong type", f"{key}={word}") for word in ("many", "[1]", "{a:1}", "-1")]
    if key.endswith("_target_"):
        certain += [("target", f"{key}={name}") for name in ("os.system", "torch.nn.Nosuch", "x")]
    is_certain = not maybe or dice.random() < 0.5
    sort, word = dice.choice(certain if is_certain else maybe)
    return Wrong(base, key, word, sort, is_certain)


def misspell(key: str, dice: random.Random) -> str:
    head, dot, name = key.rpartition(".")
    i = dice.randrange(len(name))
    return f"{head}{dot}{name[:i]}{name[i]}{name[i:]}=1"


def all_keys(dice: random.Random) -> Iterator[tuple[str, str, Any]]:
    """(options, key, node) without end: each key once, then again."""
    register_config()
    found: dict[str, list[tuple[str, Any]]] = collections.defaultdict(list)
    with initialize_config_dir(str(config_directory())):
        for base in BASES:
            tree = compose("config", overrides=base.split())
            for key, node in find_leaves(tree):
                if key not in ("work_dir", "legacy", "experiment"):
                    found[key].append((base, node))
    while True:
        for key in dice.sample(sorted(found), len(found)):
            base, node = dice.choice(found[key])
            yield base, key, node


def run(words: list[str], folder: Path, log: Path) -> int | None:
    """The exit code of train.py with `words` in `folder`, its output in `log`."""

    def child() -> None:
        os.chdir(folder)
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for number in (1, 2):
            os.dup2(file, number)
        sys.argv = ["train.py", *words]
        pochi(["train", *words], prog="train.py")

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(TIME_LIMIT_S)
    if process.is_alive():
        process.kill()
        process.join()
        return None
    return process.exitcode


def judge(wrong: Wrong, code: int | None, text: str, left: list[str]) -> str:
    """`refused`, `group only`, `accepted`, or what is bad about the answer."""
    lines = text.strip().splitlines()
    if code is None:
        return "BAD: no end"
    if "Traceback" in text:
        return "BAD: traceback"
    if left:
        return f"BAD: left behind {left}"
    if code != 2:
        return f"BAD: exit code {code}"
    if "blocker/runs" in text:
        return "BAD: accepted" if wrong.certain else "accepted"
    if len(lines) != 1:
        return f"BAD: {len(lines)} lines"
    seen = lines[0].replace("[", ".").replace("]", "")
    named = wrong.word.partition("=")[0]
    if named in seen or wrong.key in seen:
        return "refused"
    parent = named.rpartition(".")[0]
    while parent:
        if parent in seen:
            return "group only"
        parent = parent.rpartition(".")[0]
    return "BAD: key not named"


def make_folder(folder: Path) -> None:
    for name in ("cat", "dog"):
        (folder / "photos" / name).mkdir(parents=True)
        for i in range(4):
            picture = Image.new("RGB", (40, 40), (60 * i, 90, 200))
            picture.save(folder / "photos" / name / f"{i}.png")
    (folder / "blocker").write_text("a file\n")


def snapshot(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def play(wrong: Wrong, folder: Path, log: Path) -> tuple[str, str]:
    """One input: the verdict, and what was printed."""
    if not folder.exists():
        make_folder(folder)
    before = snapshot(folder)
    words = [*wrong.base.split(), wrong.word, LAST]
    code = run(words, folder, log)
    text = log.read_text(encoding="utf-8", errors="replace")
    left = sorted(snapshot(folder) ^ before)
    if left:
        shutil.rmtree(folder)
    return judge(wrong, code, text, left), text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    dice = random.Random(options.seed)
    import pochitrain.run.train  # once, for all the forked processes

    assert pochitrain.run.train
    verdicts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    bad = done = 0
    with tempfile.TemporaryDirectory(prefix="soak_wrong_input_") as place:
        os.environ["XDG_CACHE_HOME"] = f"{place}/cache"
        keys = all_keys(dice)
        try:
            for done in range(1, options.inputs + 1):
                wrong = draw(*next(keys), dice)
                verdict, text = play(wrong, Path(place, "work"), Path(place, "log"))
                verdicts[wrong.sort][verdict.partition(" left")[0].partition(" [")[0]] += 1
                bad += verdict.startswith("BAD")
                if verdict.startswith("BAD") or verdict == "accepted":
                    last = (text.strip().splitlines() or [""])[-1]
                    print(f"{done:4} {verdict:18} {wrong.word[:90]}   {wrong.base}", flush=True)
                    print(f"     {last[:200]}", flush=True)
        except KeyboardInterrupt:
            print("Interrupted.")
    print(f"seed {options.seed}: {done} inputs, {bad} bad")
    for sort, counts in sorted(verdicts.items()):
        print(f"  {sort:16} " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items()))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
