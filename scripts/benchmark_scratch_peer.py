"""fastai's or Ultralytics' training from random weights; run by benchmark_scratch.py.

    PEER/bin/python scripts/benchmark_scratch_peer.py fastai TRAIN TEST --minutes 2 --px 64 --seed 0

Needs an environment of its own with fastai or ultralytics (nothing of pochitrain). What a user who
knows each would type for these pictures: in fastai `vision_learner(resnet18, pretrained=False)`,
`aug_transforms()` and `fit_one_cycle` at 0.003, as many epochs as fit; in Ultralytics the
classifier `yolo11n-cls` without weights, with its defaults and its own time limit (`time`). Both
hold a random fifth out. Prints one line of JSON.
"""

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

START = time.perf_counter()
RATE = 0.003
"""fastai's own default for `fit_one_cycle` is 0.001; its tutorials use this from random weights."""
RESERVE_S = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("library", choices=("fastai", "ultralytics"))
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--px", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    run = run_fastai if args.library == "fastai" else run_ultralytics
    print("\n" + json.dumps(run(args)))


def run_fastai(args: argparse.Namespace) -> dict[str, float]:
    import warnings

    warnings.simplefilter("ignore")
    from fastai.torch_core import set_seed
    from fastai.vision.all import (
        ImageDataLoaders,
        Resize,
        aug_transforms,
        get_image_files,
        resnet18,
        vision_learner,
    )

    set_seed(args.seed, reproducible=True)
    imported_s = time.perf_counter() - START

    def build():
        data = ImageDataLoaders.from_folder(
            args.train,
            valid_pct=0.2,
            seed=args.seed,
            bs=32,
            item_tfms=Resize(args.px),
            batch_tfms=aug_transforms(),
            num_workers=2,
        )
        return vision_learner(data, resnet18, pretrained=False)

    learner = build()
    with learner.no_bar(), learner.no_logging():
        begin = time.perf_counter()  # not counted: a practised user knows how long an epoch takes
        learner.fit_one_cycle(1, RATE)
        epoch_s = time.perf_counter() - begin
        epochs = max(int((60 * args.minutes - imported_s - RESERVE_S) / epoch_s), 1)
        set_seed(args.seed, reproducible=True)
        begin = time.perf_counter()
        learner = build()
        learner.fit_one_cycle(epochs, RATE)
    seconds = imported_s + time.perf_counter() - begin
    files = get_image_files(args.test)
    with learner.no_bar():
        probabilities, _ = learner.get_preds(dl=learner.dls.test_dl(files))
    names = list(learner.dls.vocab)
    predicted = [names[i] for i in probabilities.argmax(1)]
    return {"epochs": epochs, "seconds": seconds, **score(files, predicted)}


def run_ultralytics(args: argparse.Namespace) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        link_split(args.train, folder / "data", args.seed)
        from ultralytics import YOLO

        model = YOLO("yolo11n-cls.yaml")
        model.train(
            data=str(folder / "data"),
            imgsz=args.px,
            time=args.minutes / 60,
            workers=2,
            batch=32,
            device="cpu",
            seed=args.seed,
            project=str(folder / "runs"),
            plots=False,
            verbose=False,
        )
        seconds = time.perf_counter() - START
        best = YOLO(next((folder / "runs").rglob("best.pt")))
        files = sorted(path for path in args.test.rglob("*") if path.is_file())
        answers = best.predict(
            [str(file) for file in files], imgsz=args.px, verbose=False, stream=True, device="cpu"
        )
        predicted = [best.names[answer.probs.top1] for answer in answers]
        return {"seconds": seconds, **score(files, predicted)}


def link_split(source: Path, target: Path, seed: int) -> None:
    """Links to the pictures of `source`: a random fifth below val, the others below train."""
    draw = random.Random(seed)
    for folder in sorted(path for path in source.iterdir() if path.is_dir()):
        files = sorted(folder.iterdir())
        held = set(draw.sample(files, len(files) // 5))
        for file in files:
            place = target / ("val" if file in held else "train") / folder.name
            place.mkdir(parents=True, exist_ok=True)
            (place / file.name).symlink_to(file.resolve())


def score(files: list[Path], predicted: list[str]) -> dict[str, float]:
    from sklearn.metrics import accuracy_score, balanced_accuracy_score

    actual = [Path(file).parent.name for file in files]
    return {
        "accuracy": 100 * accuracy_score(actual, predicted),
        "balanced_accuracy": 100 * balanced_accuracy_score(actual, predicted),
    }


if __name__ == "__main__":
    main()
