"""Checkpoints without training: random weights, two or three classes."""

from typing import Any

import torch

from pochitrain.engine.checkpoint import FORMAT
from pochitrain.model.classifier import build_classifier

SIDE_PX = 32
VAL = [
    {"_target_": "torchvision.transforms.v2.Resize", "size": [SIDE_PX, SIDE_PX]},
    {"_target_": "torchvision.transforms.ToTensor"},
    {
        "_target_": "torchvision.transforms.v2.Normalize",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    },
]


def checkpoint_content(class_names: list[str], **changes: Any) -> dict[str, Any]:
    """What a run with data=folder would save; `changes` replace keys of its config."""
    torch.manual_seed(0)
    name = changes.pop("name", "shufflenet_v2_x0_5")
    config = {
        "seed": 0,
        "batch_size": 8,
        "device": None,
        "precision": "fp32",
        "channels_last": True,
        "model": {
            "_target_": "pochitrain.model.classifier.build_classifier",
            "name": name,
            "num_classes": None,
            "pretrained": False,
            "weights": None,
        },
        "data": {
            "_target_": "pochitrain.data.folder.open_folder",
            "train_root": "no/train",
            "val_root": "no/val",
            "background": [255, 255, 255],
        },
        "confusion_matrix": {},
        **changes,
    }
    model = build_classifier(name, len(class_names))
    return {
        "format": FORMAT,
        "model": model.state_dict(),
        "class_names": class_names,
        "transforms": {"train": VAL, "val": VAL},
        "config": config,
        "epoch": 1,
    }
