"""A real data set from a package registry: emoji images in nine unbalanced categories.

    python scripts/prepare_emoji.py --out data/emoji
    python train.py data=folder data.train_root=data/emoji/train data.val_root=data/emoji/val \
        transform.size=64

Lays out OUT/{train,val}/<category>/<vendor>_<image>.png (64 x 64 px, RGBA) and OUT/CREDITS.txt.
The images come through the npm client from the packages emoji-datasource-google (Noto Emoji,
Apache License 2.0) and emoji-datasource-twitter (Twemoji, Copyright Twitter, Inc and other
contributors, CC-BY 4.0); the list of categories, emoji.json, is MIT (Cal Henderson).
All images of one emoji (vendors, skin tones) are on one side of the split, so that the
validation images show things that the model has not seen.
"""

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

VERSION = "16.0.0"
ART = {
    "google": "Noto Emoji pictures, Copyright Google LLC, Apache License 2.0",
    "twitter": "Twemoji pictures, Copyright Twitter, Inc and other contributors, CC-BY 4.0",
}
SIDE_PX = 64


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("data/emoji"), help="folder to make")
    parser.add_argument("--vendor", nargs="+", choices=list(ART), default=list(ART))
    parser.add_argument("--val-fraction", type=float, default=0.2)
    parser.add_argument("--skin-tones", action="store_true", help="also the five skin tones")
    parser.add_argument(
        "--packages", type=Path, help="folder with the packages, fetched before by `npm pack`"
    )
    args = parser.parse_args()
    if not 0 < args.val_fraction < 1:
        sys.exit(f"--val-fraction must be > 0 and < 1, got {args.val_fraction}.")
    if args.out.exists():
        sys.exit(f"--out must be a new folder, got {args.out}, which exists.")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".emoji-", dir=args.out.parent) as scratch:
        folder = Path(scratch) / "emoji"
        for vendor in args.vendor:
            package = fetch(vendor, args.packages or Path(scratch))
            lay_out(package, vendor, folder, args.val_fraction, args.skin_tones)
        credits = [f"{ART[vendor]}." for vendor in args.vendor]
        credits.append("Categories: emoji.json of emoji-data, MIT licence (Cal Henderson).")
        (folder / "CREDITS.txt").write_text("\n".join(credits) + "\n", encoding="utf-8")
        shutil.move(folder, args.out)  # complete or not there
    print_counts(args.out)


def fetch(vendor: str, folder: Path) -> Path:
    """The package of a vendor as a .tgz file in `folder`, downloaded unless it is there."""
    name = f"emoji-datasource-{vendor}"
    path = folder / f"{name}-{VERSION}.tgz"
    if path.exists():
        return path
    print(f"Fetching {name} {VERSION} ...", flush=True)
    try:
        subprocess.run(
            ["npm", "pack", "--silent", f"{name}@{VERSION}"],
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        sys.exit("This needs npm (part of Node.js) on the PATH, or --packages with the .tgz files.")
    except subprocess.CalledProcessError as error:
        sys.exit(f"npm pack {name}@{VERSION} failed with exit code {error.returncode}.")
    return path


def lay_out(package: Path, vendor: str, out: Path, val_fraction: float, skin_tones: bool) -> None:
    """Write the 64 px images of one package into OUT/{train,val}/<category>."""
    with tarfile.open(package) as archive:
        listed = archive.extractfile("package/emoji.json")
        assert listed is not None, "emoji.json is a file in every version of the package"
        wanted = plan(json.load(listed), val_fraction, skin_tones)
    with tarfile.open(package) as archive:  # once more from the start: reading backwards is slow
        prefix = f"package/img/{vendor}/{SIDE_PX}/"
        for member in archive:
            target = wanted.get(member.name.removeprefix(prefix))
            if not member.name.startswith(prefix) or target is None:
                continue
            content = archive.extractfile(member)
            assert content is not None
            path = out / target / f"{vendor}_{member.name.removeprefix(prefix)}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.read())


def plan(emoji: list[dict[str, Any]], val_fraction: float, skin_tones: bool) -> dict[str, str]:
    """File name of an image -> `<split>/<category>`."""
    target = {}
    for entry in emoji:
        category = re.sub(r"\W+", "_", entry["category"]).strip("_").lower()
        if category == "component":  # bare skin tones and hair styles
            continue
        split = "val" if fraction_of(entry["unified"]) < val_fraction else "train"
        tones = list(entry.get("skin_variations", {}).values()) if skin_tones else []
        for image in [entry, *tones]:
            target[image["image"]] = f"{split}/{category}"
    return target


def fraction_of(text: str) -> float:
    """A number in [0, 1) that depends on `text` alone, so that the split is always the same."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def print_counts(out: Path) -> None:
    for split in ("train", "val"):
        counts = Counter(path.parent.name for path in (out / split).glob("*/*.png"))
        rows = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        print(f"{out / split}: {sum(counts.values())} pictures ({rows})")


if __name__ == "__main__":
    main()
