"""Images/s of `pochi infer` from JPEG files, beside the network alone, in one run.

    python scripts/benchmark_infer.py --images 512 --num-workers 2

Makes the images itself: crops of the two photographs that scikit-learn ships. The two are
measured in turns, so that a machine that becomes slower meanwhile slows both, and the best turn of
each counts. The goal is a ratio >= 0.9 (resnet18, 224 px, 2 workers).
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf
from PIL import Image
from sklearn.datasets import load_sample_image

from pochitrain.config.component import Components
from pochitrain.data.folder import ImageFolderDataset
from pochitrain.engine.device import select_device, select_precision
from pochitrain.inference.classifier import Classifier, build_network, load_pipeline
from pochitrain.inference.network import TorchNetwork
from pochitrain.inference.stream import classify

SIDE_PX = 224
TRANSFORM = [
    {"_target_": "torchvision.transforms.v2.Resize", "size": 256},
    {"_target_": "torchvision.transforms.v2.CenterCrop", "size": SIDE_PX},
    {"_target_": "torchvision.transforms.ToTensor"},
    {
        "_target_": "torchvision.transforms.v2.Normalize",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    },
]


def write_pictures(folder: Path, num: int, side_px: int) -> list[str]:
    """Square JPEG crops of two photographs (427 x 640 px)."""
    photographs = [load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    generator = np.random.default_rng(0)
    paths = []
    for i in range(num):
        photograph = photographs[i % 2]
        top, left = (int(generator.integers(0, n - side_px)) for n in photograph.shape[:2])
        crop = photograph[top : top + side_px, left : left + side_px]
        path = folder / f"{i:05d}.jpg"
        Image.fromarray(crop).save(path, quality=90)
        paths.append(str(path))
    return paths


def build(name: str, device: str | None) -> Classifier:
    """A classifier with random weights, which are as fast as trained ones."""
    model = {"_target_": "pochitrain.model.classifier.build_classifier", "name": name}
    config = {"seed": 0, "model": model, "data": {}}
    parts = Components(OmegaConf.create(config), [])
    target = select_device(device)
    network = build_network(parts, 10).to(target, memory_format=torch.channels_last).eval()
    wrapped = TorchNetwork(network, select_precision("auto", target), torch.channels_last)
    names = [str(i) for i in range(10)]
    return Classifier(
        wrapped, names, load_pipeline(parts, TRANSFORM), config, Path(), [], TRANSFORM
    )


def measure_forward(classifier: Classifier, batch_size: int, num: int) -> float:
    """Images/s of the network alone: one batch that is there already, again and again."""
    images = torch.rand(batch_size, 3, SIDE_PX, SIDE_PX)
    classifier.network(images).cpu()
    rounds = max(1, num // batch_size)
    start = time.perf_counter()
    for _ in range(rounds):
        classifier.network(images).cpu()
    return rounds * batch_size / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--num-workers", type=int, default=2)
    parser.add_argument("--side-px", type=int, default=320, help="of the JPEG files")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device")
    options = parser.parse_args()
    classifier = build(options.model, options.device)
    end_to_end, forward = [], []
    with tempfile.TemporaryDirectory() as folder:
        paths = write_pictures(Path(folder), options.images, options.side_px)
        dataset = ImageFolderDataset(paths, [-1] * len(paths))
        for _ in range(options.rounds):
            answers = classify(classifier, dataset, options.batch_size, options.num_workers)
            end_to_end.append(answers.timed / answers.total_s)
            forward.append(measure_forward(classifier, options.batch_size, options.images))
    device = classifier.network.device
    print(f"{options.model}, {SIDE_PX} px, {device}, {torch.get_num_threads()} threads,", end=" ")
    print(f"{options.num_workers} loader processes, {options.images} pictures")
    print(f"end to end    {max(end_to_end):8.1f} images/s")
    print(f"forward only  {max(forward):8.1f} images/s")
    print(f"ratio         {max(end_to_end) / max(forward):8.3f}")


if __name__ == "__main__":
    main()
