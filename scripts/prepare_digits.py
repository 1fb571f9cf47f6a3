"""Write scikit-learn's handwritten digits as image folders: data/train/<digit>, data/val/<digit>.

    python scripts/prepare_digits.py [--output data] [--per-class N] [--size 32]

Real images for `configs/pochi_train_config.py`, without a download: 1,797 digits of 43 people
(Alpaydin & Kaynak 1998), 8 x 8 pixels, enlarged to 32 x 32; a fifth of each class is for
validation.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SIZE_PX = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("data"), help="parent of train and val")
    parser.add_argument("--per-class", type=int, help="at most so many pictures of each digit")
    parser.add_argument("--size", type=int, default=SIZE_PX, help="side in pixels")
    args = parser.parse_args()
    bunch = load_digits()
    chosen = choose(bunch.target, args.per_class)
    splits = train_test_split(chosen, test_size=0.2, random_state=0, stratify=bunch.target[chosen])
    for split, indices in zip(("train", "val"), splits, strict=True):
        for index in indices:
            folder = args.output / split / str(bunch.target[index])
            folder.mkdir(parents=True, exist_ok=True)
            enlarge(bunch.images[index], args.size).save(folder / f"{index:04d}.png")
        print(f"{args.output / split}: {len(indices):,} pictures of 10 classes")


def choose(labels: np.ndarray, per_class: int | None) -> np.ndarray:
    """Indices of the images to write, at most `per_class` of each label."""
    return np.concatenate([np.flatnonzero(labels == label)[:per_class] for label in range(10)])


def enlarge(image: np.ndarray, size_px: int) -> Image.Image:
    """8 x 8 values from 0 to 16 as a grey image of `size_px` x `size_px` pixels."""
    grey = Image.fromarray(np.round(image * (255 / 16)).astype(np.uint8))
    return grey.resize((size_px, size_px), Image.Resampling.BICUBIC)


if __name__ == "__main__":
    main()
