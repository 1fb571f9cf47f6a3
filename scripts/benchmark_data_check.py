"""How well `pochi data check` finds what was planted, and how long it takes.

    python scripts/benchmark_data_check.py duplicates DIR     # 1,000 pictures, 18 planted mistakes
    python scripts/benchmark_data_check.py digits             # distinct pictures that look alike
    python scripts/benchmark_data_check.py labels DIR         # 5 % wrong labels
    python scripts/benchmark_data_check.py speed DIR          # 10,000 small pictures

DIR holds train/<class> and val/<class>. Where the pictures are crops of a few photographs, two of
one side may show the same place: these are nearly the same pictures and are counted apart. Crops
for training and for validation should come from different parts of the photographs; then every leak
that is reported and was not planted is a false alarm.
"""

import argparse
import csv
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

PATTERNS = ("*.jpg", "*.png", "*.jpeg")
PLANTED = {"truncated": 3, "exact": 5, "recompressed": 5, "cropped": 3, "mirrored": 2}
CROP = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("duplicates", "digits", "labels", "speed"))
    parser.add_argument("source", type=Path, nargs="?", metavar="DIR")
    parser.add_argument("--number", type=int, help="pictures; default: 1,000 (speed: 10,000)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if args.what == "digits":
            measure_digits(root)
        elif args.what == "duplicates":
            measure_duplicates(root, args.source, args.number or 1000, args.seed)
        elif args.what == "labels":
            measure_labels(root, args.source, args.number, args.seed)
        else:
            measure_speed(root, args.source, args.number or 10_000, args.seed)


def check(root: Path, *words: str) -> tuple[list[dict], float]:
    """The findings for root/train and root/val, and the seconds that the command took."""
    command = [sys.executable, "-c", "from pochitrain.cli.main import main; main()"]
    command += ["data", "check", str(root / "train"), "--output", str(root / "report"), *words]
    if (root / "val").is_dir():
        command += ["--val", str(root / "val")]
    environment = os.environ | {"XDG_CACHE_HOME": str(root / "cache")}
    start = time.perf_counter()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    return json.loads((root / "report" / "findings.json").read_text(encoding="utf-8")), seconds


def list_pictures(folder: Path) -> list[Path]:
    return sorted(path for pattern in PATTERNS for path in folder.rglob(pattern))


def copy(path: Path, side: Path, name: str | None = None) -> Path:
    folder = side / path.parent.name
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(path, folder / (name or path.name)))


def sample(root: Path, source: Path, number: int, rng: random.Random) -> list[Path]:
    """Copy a share of both sides; returns the training pictures."""
    sides = {side: list_pictures(source / side) for side in ("train", "val")}
    number = min(number, sum(map(len, sides.values())))
    share = number / sum(map(len, sides.values()))
    for side, paths in sides.items():
        for path in rng.sample(paths, round(share * len(paths))):
            copy(path, root / side)
    for name in {path.parent.name for path in list_pictures(root / "val")}:
        (root / "train" / name).mkdir(parents=True, exist_ok=True)
    for folder in (root / "train").iterdir():  # a class needs a training picture
        if not any(folder.iterdir()):
            copy(next(p for p in sides["train"] if p.parent.name == folder.name), root / "train")
    return list_pictures(root / "train")


def plant(root: Path, train: list[Path], rng: random.Random) -> dict[str, list[tuple[str, str]]]:
    """Put changed copies of training pictures into validation: kind -> (original, copy)."""
    chosen = iter(rng.sample(train, sum(PLANTED.values())))
    pairs: dict[str, list[tuple[str, str]]] = {kind: [] for kind in PLANTED}
    for kind, count in PLANTED.items():
        for i in range(count):
            path = next(chosen)
            if kind == "truncated":
                content = path.read_bytes()
                path.write_bytes(content[: len(content) // 2])
                pairs[kind].append((str(path), str(path)))
                continue
            twin = copy(path, root / "val", f"{kind}_{i}{path.suffix}")
            if kind != "exact":
                twin = change(path, twin, kind)
            pairs[kind].append((str(path), str(twin)))
    return pairs


def change(path: Path, twin: Path, kind: str) -> Path:
    """Replace the copy by a changed one: JPEG files of quality 60 (recompressed) or 75."""
    with Image.open(path) as image:
        flat = Image.new("RGBA", image.size, "white")
        flat.alpha_composite(image.convert("RGBA"))
    picture = flat.convert("RGB")
    width, height = picture.size
    if kind == "cropped":
        left, top = round(width * CROP / 2), round(height * CROP / 2)
        picture = picture.crop((left, top, width - left, height - top))
    elif kind == "mirrored":
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    twin.unlink()
    twin = twin.with_suffix(".jpg")
    picture.save(twin, quality=60 if kind == "recompressed" else 75)
    return twin


def measure_duplicates(root: Path, source: Path, number: int, seed: int) -> None:
    rng = random.Random(seed)
    pairs = plant(root, sample(root, source, number, rng), rng)
    findings, seconds = check(root, "--skip-labels")
    print(f"{source}, seed {seed}: {seconds:.1f} s")
    for kind, own in pairs.items():
        wanted = ("unreadable",) if kind == "truncated" else ("exact_duplicate", "near_duplicate")
        groups = [set(f["paths"]) for f in findings if f["kind"] in wanted]
        found = sum(any({*pair} <= group for group in groups) for pair in own)
        print(f"  {kind:12} {found} of {len(own)}")
    planted = {twin for own in pairs.values() for _, twin in own}
    leaks = [f for f in findings if f["across_split"]]
    leaked = {path for f in leaks for path in f["paths"] if path.startswith(str(root / "val"))}
    num_val = len(list_pictures(root / "val"))
    print(f"  reported as leaked without being planted: {len(leaked - planted)} of {num_val}")
    one_side = sum(len(f["paths"]) for f in findings if "duplicate" in f["kind"])
    one_side -= sum(len(f["paths"]) for f in leaks)
    print(f"  in groups of nearly the same pictures on one side: {one_side}")
    bad = sum(f["kind"] == "unreadable" for f in findings) - len(pairs["truncated"])
    print(f"  called unreadable without being truncated: {bad}")


def measure_digits(root: Path) -> None:
    script = Path(__file__).with_name("prepare_digits.py")
    subprocess.run([sys.executable, str(script), "--output", str(root)], check=True)
    findings, seconds = check(root, "--skip-labels")
    alarmed = {path for f in findings if "duplicate" in f["kind"] for path in f["paths"]}
    print(f"digits: {seconds:.1f} s; {len(alarmed)} of 1,797 pictures called duplicates")


def measure_labels(root: Path, source: Path, number: int | None, seed: int) -> None:
    rng = random.Random(seed)
    train = sample(root, source, number or 10**9, rng)
    classes = sorted({path.parent.name for path in train})
    moved: dict[str, str] = {}
    for path in rng.sample(train, round(0.05 * len(train))):
        other = rng.choice([name for name in classes if name != path.parent.name])
        target = root / "train" / other / f"moved_{path.parent.name}_{path.name}"
        path.rename(target)
        moved[str(target)] = path.parent.name
    fixes = root / "fix.csv"
    findings, seconds = check(root, "--fix-list", str(fixes))
    suspects = [f["paths"][0] for f in findings if f["kind"] == "label"]
    hits = sum(path in moved for path in suspects)
    print(f"{source}, seed {seed}: {len(train)} training pictures, {len(moved)} moved to another")
    print(f"  class; {len(suspects)} suspects, {hits} of them moved ({seconds:.1f} s)")
    print(f"  precision {hits / max(1, len(suspects)):.2f}, recall {hits / len(moved):.2f}")
    first = suspects[: len(moved)]
    share = sum(path in moved for path in first) / max(1, len(first))
    print(f"  precision of the first {len(first)}: {share:.2f}")
    rows = {r["path"]: r for r in csv.DictReader(fixes.open()) if r["action"] == "relabel"}
    right = sum(rows[path]["new_class"] == moved[path] for path in moved if path in rows)
    print(f"  the class suggested for a moved one is the true one: {right} of {hits}")


def measure_speed(root: Path, source: Path, number: int, seed: int) -> None:
    rng = random.Random(seed)
    paths = list_pictures(source)
    for i in range(number):
        path = rng.choice(paths)
        with Image.open(path) as image:
            picture = image.convert("RGB")
        left, top = rng.randint(0, picture.width // 2), rng.randint(0, picture.height // 2)
        side = "val" if i % 5 == 0 and i >= 5 * len(paths) ** 0.5 else "train"
        folder = root / side / path.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        (root / "train" / path.parent.name).mkdir(parents=True, exist_ok=True)
        box = (left, top, left + picture.width // 2, top + picture.height // 2)
        picture.crop(box).resize((64, 64)).save(folder / f"{i:05d}.jpg", quality=90)
    for words in (["--skip-labels"], []):
        findings, seconds = check(root, *words)
        print(f"{number} pictures of 64 px {' '.join(words)}: {seconds:.1f} s, {len(findings)}")


if __name__ == "__main__":
    main()
