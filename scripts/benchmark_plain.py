"""A whole command against a plain torchvision script that computes the same and writes nothing.

    python scripts/benchmark_plain.py [--epochs 3] [--rounds 3] [--threads 2]

Both train ResNet-18 on the digits that scikit-learn ships: the same images, a split of the same
size, weights of the classes, Adam with a cosine, batches, and a validation after each epoch. The
script holds all images as tensors before the first epoch, which nobody would do with photographs.
The sides take turns in fresh processes; wall-clock time of the process, from its start to its end.
The machine should have nothing else to do.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

PLAIN = """
import sys
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision import models
from torchvision.transforms import v2

epochs, size = int(sys.argv[1]), int(sys.argv[2])
torch.manual_seed(0)
digits = load_digits()
transform = v2.Compose([
    v2.ToPILImage(), v2.Resize((size, size), v2.InterpolationMode.BICUBIC), v2.Grayscale(3),
    v2.ToImage(), v2.ToDtype(torch.float32, scale=True),
    v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
])
grey = np.round(digits.images * (255 / 16)).astype(np.uint8)
images = torch.stack([transform(image) for image in grey])
labels = torch.as_tensor(digits.target)
train, val = train_test_split(
    np.arange(len(labels)), test_size=0.2, random_state=0, stratify=digits.target)
loaders = [
    DataLoader(TensorDataset(images[part], labels[part]), 32, shuffle=part is train)
    for part in (train, val)
]
count = torch.bincount(labels[train]).double()
criterion = nn.CrossEntropyLoss((len(train) / (10 * count)).float())
model = models.resnet18(num_classes=10).to(memory_format=torch.channels_last)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
for epoch in range(epochs):
    model.train()
    for x, y in loaders[0]:
        optimizer.zero_grad()
        criterion(model(x.to(memory_format=torch.channels_last)), y).backward()
        optimizer.step()
    scheduler.step()
    model.eval()
    right = 0
    with torch.inference_mode():
        for x, y in loaders[1]:
            right += int((model(x.to(memory_format=torch.channels_last)).argmax(1) == y).sum())
    print(f"epoch {epoch + 1}: {100 * right / len(val):.2f} %")
"""


def seconds(words: list[str], threads: int) -> float:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, *words], check=True, capture_output=True, cwd=REPOSITORY, env=environment
    )
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--size", type=int, default=32, help="of the digits, pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark_plain_") as work:
        sides = {
            "plain script": ["-c", PLAIN, str(options.epochs), str(options.size)],
            "train.py": [
                "train.py",
                "device=cpu",
                f"epochs={options.epochs}",
                f"data.image_size={options.size}",
                "data.num_workers=0",
                f"work_dir={work}",
            ],
        }
        taken: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(options.rounds):
            for name in list(sides) if number % 2 else list(sides)[::-1]:
                taken[name].append(seconds(sides[name], options.threads))
                print(f"{name:<14} {taken[name][-1]:7.2f} s", flush=True)
    plain, ours = taken["plain script"], taken["train.py"]
    ratios = [b / a for a, b in zip(plain, ours, strict=True)]
    print(
        f"whole command / plain script, {options.epochs} epochs: {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    main()
