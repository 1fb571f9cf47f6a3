"""What validation promises under a random and under a grouped split, and what comes true.

    python scripts/compare_splits.py --train data/emoji/train --test data/emoji/val \
        --group-by '(?:google|twitter)_(.+)[.]' -- transform.size=32 epochs=8
    python scripts/compare_splits.py --photos photos/train -- transform.size=64 epochs=6

Trains with `data.val_fraction=0.2` and, in turns, without and with `data.group_by`, for each seed.
The pictures below --test must show groups that are not below --train; each run tests its best model
on them, once (`data.test_root`).

--photos takes folders of crops, one folder for each photo, and makes up a task with a known answer:
every photo is given one of four classes at random, so nothing can be learnt that holds for another
photo, and the truth is a quarter right. A quarter of the photos are for the test.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

CLASSES = "abcd"
PHOTO = "^[^/]+/([^/]+)/"
"""<class>/<photo>/<crop>.jpg"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", type=Path)
    parser.add_argument("--test", type=Path, help="pictures of other groups")
    parser.add_argument("--group-by", help="as data.group_by")
    parser.add_argument("--photos", type=Path, help="folders of crops, one for each photo")
    parser.add_argument("--per-photo", type=int, default=15, help="crops of each photo")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("overrides", nargs="*", help="more overrides of the training")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pochi_splits_") as scratch:
        if args.photos is not None:
            folder = Path(scratch)
            make_up_task(args.photos, folder, args.per_photo)
            args.train, args.test, args.group_by = folder / "train", folder / "test", PHOTO
        if None in (args.train, args.test, args.group_by):
            parser.error("--train, --test and --group-by, or --photos")
        compare(args, Path(scratch))


def make_up_task(photos: Path, out: Path, per_photo: int) -> None:
    """OUT/{train,test}/<class>/<photo>/: links to crops of photos that got their class by lot."""
    folders = sorted(path for path in photos.iterdir() if path.is_dir())
    random.Random(0).shuffle(folders)
    for i, folder in enumerate(folders):
        part = "test" if i % (4 * len(CLASSES)) < len(CLASSES) else "train"
        target = out / part / CLASSES[i % len(CLASSES)] / folder.name
        target.mkdir(parents=True)
        for crop in sorted(folder.iterdir())[:per_photo]:
            (target / crop.name).symlink_to(crop.resolve())


def compare(args: argparse.Namespace, scratch: Path) -> None:
    """Train all, and print the table."""
    quoted = args.group_by.replace("\\", "\\\\").replace("'", "\\'")
    splits = {"at random": [], "by group": [f"data.group_by='{quoted}'"]}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in splits}
    for seed in range(args.seeds):
        for name, words in splits.items():
            work_dir = scratch / f"{name.replace(' ', '_')}_{seed}"
            common = [f"data.train_root={args.train}", f"data.test_root={args.test}"]
            common += ["data=folder", "data.val_fraction=0.2", f"seed={seed}"]
            common += [f"work_dir={work_dir}", "metrics.export=false"]
            result = train([*common, *words, *args.overrides], work_dir)
            found[name].append((result["best"]["value"], result["accuracy"]))
            print(
                f"seed {seed}, {name}: validation {found[name][-1][0]:.2f} %, unseen groups "
                f"{found[name][-1][1]:.2f} %",
                flush=True,
            )
    print(f"\n{'split':<12}{'validation says':>18}{'unseen groups say':>20}{'too high by':>14}")
    for name, pairs in found.items():
        promised, true = (fmean(pair[i] for pair in pairs) for i in (0, 1))
        print(f"{name:<12}{promised:>16.2f} %{true:>18.2f} %{promised - true:>14.2f}")


def train(words: list[str], work_dir: Path) -> dict[str, Any]:
    """The content of test_metrics.json of a training."""
    command = [sys.executable, str(Path(__file__).parent.parent / "train.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    (file,) = work_dir.glob("*/test_metrics.json")
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


if __name__ == "__main__":
    main()
