"""A run directory made by hand, with names that try to be markup, for tests of its page."""

import csv
import json
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf
from PIL import Image

CLASSES = ["<b>ant</b>", "bee\u202eeeb", "cat & 'dog'"]
CONFUSION = [[7, 1, 0], [2, 6, 0], [0, 0, 4]]
"""17 of 20 are right."""
CONFIG = {
    "epochs": 3,
    "learning_rate": 0.01,
    "batch_size": 8,
    "seed": 5,
    "model": {"_target_": "torchvision.models.get_model", "name": "<i>net</i>"},
    "data": {"train_root": "photos/train", "batch_size": 8},
    "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.01},
    "scheduler": {"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 1},
    "strategy": {"name": "scratch"},
}


class Painted:
    """The validation pictures: noise; number `broken` cannot be read."""

    in_memory = True

    def __init__(self, labels: list[int], side_px: int = 40, broken: int | None = None) -> None:
        self.labels = labels
        self.side_px = side_px
        self.broken = broken

    def __len__(self) -> int:
        return len(self.labels)

    def load(self, index: int) -> Image.Image:
        if index == self.broken:
            raise OSError("gone")
        noise = np.random.default_rng(index).integers(0, 255, (self.side_px, self.side_px, 3))
        return Image.fromarray(noise.astype(np.uint8))

    def size(self, index: int) -> tuple[int, int]:
        return self.side_px, self.side_px

    def name(self, index: int) -> str:
        return name_of(index)


def name_of(index: int) -> str:
    return f'photos/val/<script>alert("{index}")</script>.png'


def answers_in_order() -> list[tuple[int, int, float]]:
    """True class, predicted class and confidence of each picture, as CONFUSION says."""
    rows = []
    for true, line in enumerate(CONFUSION):
        for predicted, count in enumerate(line):
            for number in range(count):
                confidence = 0.9 if true == predicted else 0.8 - 0.1 * number
                rows.append((true, predicted, confidence))
    return rows


def write_csv(path: Path, rows: list[list[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def write_run(folder: Path, **config: object) -> Path:
    """Everything but a model."""
    folder.mkdir(parents=True)
    OmegaConf.save(OmegaConf.create(CONFIG | config), folder / "config.yaml")
    (folder / "models").mkdir()
    write_csv(
        folder / "training_metrics.csv",
        [
            ["epoch", "learning_rate", "train_loss", "train_accuracy", "val_loss", "val_accuracy",
             "val_macro_f1", "lr_<fc>"],
            [1, 0.01, 2.0, 40, 2.1, 35.0, 0.3, 0.001],
            [2, 0.01, 1.0, 70, 0.9, 85.0, 0.8, 0.001],
            [3, 0.01, 0.5, 90, 1.1, 80.0, "", 0.0005],
        ],
    )  # fmt: skip
    rows = [[name, *line] for name, line in zip(CLASSES, CONFUSION, strict=True)]
    write_csv(folder / "confusion_matrix.csv", [["true_class", *CLASSES], *rows])
    header = ["image_path", "true", "true_class", "predicted", "predicted_class", "correct",
              "confidence"]  # fmt: skip
    said = [
        [name_of(i), t, CLASSES[t], p, CLASSES[p], t == p, f"{c:.6f}"]
        for i, (t, p, c) in enumerate(answers_in_order())
    ]
    write_csv(folder / "val_predictions.csv", [header, *said])
    write_csv(
        folder / "gradient_trace.csv", [["epoch", "conv", "fc"], [1, 0.5, 2.0], [2, 0.05, ""]]
    )
    write_csv(
        folder / "leaked_pictures.csv",
        [
            ["position", "validation_picture", "training_picture", "how"],
            [7, name_of(7), "photos/train/<u>twin</u>.png", "same"],
        ],
    )
    status = {"status": "finished", "epoch": 3, "monitor": "val_accuracy",
              "best": {"epoch": 2, "value": 85.0}, "stop_reason": None}  # fmt: skip
    (folder / "status.json").write_text(json.dumps(status))
    facts = {
        "command": "pochi train data=folder",
        "folder": "/home/me",
        "versions": {"python": "3.11", "torch": "2.11"},
        "git": {"commit": "abc", "changed": True},
        "platform": "Linux",
        "device": "cpu, fp32",
        "parameters": 12345,
        "input_size": [48, 64],
        "data": {"classes": CLASSES, "train": [10, 20, 30], "val": [8, 8, 4], "unreadable": 2},
    }
    (folder / "environment.json").write_text(json.dumps(facts))
    return folder
