"""Whether confidence, "unknown" and sets of classes come true on pictures that nothing has seen.

    python scripts/benchmark_calibration.py --train data/emoji/train --val data/emoji/val \
        --leave-out symbols -- transform.size=32 epochs=6

Trains a model without the class --leave-out (or takes --run, which was trained so), and asks it
about the validation pictures and about those of the class it has never seen. Then, in each of
--repeats rounds, a random half of the validation pictures calibrates and the other half judges.

Printed are means over the rounds, ± the standard deviation of a round:
- the calibration error before and after the temperature, on the other half, and on all pictures
  as `pochi calibrate` computes it (of few pictures it is never 0: chance alone makes bins differ);
- the share of sets with the true class, for --coverage. "top class added" are the sets as pochi
  gives them, never empty: where the model is right more often than --coverage, they hold more;
- the share of mistakes among the accepted pictures, for --max-error, and in how many rounds it was
  above what was promised (5 % may have a higher rate; the half that judges is a sample too, so more
  than 5 % can show one);
- how well confidence tells pictures of known classes from those of the unknown one (AUROC: 0.5 is
  chance, 1 is perfect).
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from pochitrain.error import ConfigError
from pochitrain.inference.calibration import Calibration
from pochitrain.inference.classifier import Classifier, load_classifier
from pochitrain.inference.decision import Decision, decide
from pochitrain.inference.score import expected_calibration_error
from pochitrain.inference.source import open_source
from pochitrain.inference.stream import classify
from pochitrain.run.calibrate import evaluate


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--val", type=Path, required=True)
    parser.add_argument("--leave-out", required=True, metavar="CLASS")
    parser.add_argument("--run", help="a run without that class, instead of training one")
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--coverage", type=float, default=0.9)
    parser.add_argument("--max-error", type=float, default=0.1)
    parser.add_argument("overrides", nargs="*", help="more overrides of the training")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pochi_calibration_") as scratch:
        folder = Path(scratch)
        for split in ("train", "val"):
            link_classes(getattr(args, split), folder / split, args.leave_out)
        run = args.run or train(folder, args.overrides)
        classifier = load_classifier(run)
        known, labels = ask(classifier, folder / "val")
        unknown, _ = ask(classifier, args.val / args.leave_out)
    report(args, known, labels, unknown)


def link_classes(source: Path, target: Path, left_out: str) -> None:
    """Links to the class folders of `source`, without one."""
    target.mkdir(parents=True)
    for path in sorted(source.iterdir()):
        if path.is_dir() and path.name != left_out:
            (target / path.name).symlink_to(path.resolve(), target_is_directory=True)


def train(folder: Path, overrides: list[str]) -> Path:
    """Train below `folder`; returns the run directory."""
    roots = [f"data.{split}_root={folder / split}" for split in ("train", "val")]
    words = ["train", "data=folder", *roots, f"work_dir={folder / 'runs'}", *overrides]
    code = "from pochitrain.cli.main import main; main()"
    subprocess.run([sys.executable, "-c", code, *words], check=True, stdout=subprocess.DEVNULL)
    (run,) = (folder / "runs").iterdir()
    return run


def ask(classifier: Classifier, folder: Path) -> tuple[Tensor, Tensor]:
    """Logits of the pictures in a folder, shape (N, C), and their labels (-1 without classes)."""
    dataset = open_source(classifier, str(folder)).dataset
    answers = classify(classifier, dataset, int(classifier.config["batch_size"]))
    return answers.logits, torch.tensor(np.array(dataset.labels))[answers.indices]


def report(args: argparse.Namespace, known: Tensor, labels: Tensor, unknown: Tensor) -> None:
    """Print all figures."""
    generator = torch.Generator().manual_seed(0)
    before, after, held, shown_held, size, accepted, wrong, temperatures = ([] for _ in range(8))
    areas: list[tuple[float, float]] = []
    for seed in range(args.repeats):
        order = torch.randperm(len(labels), generator=generator)
        fit, judge = order[: len(order) // 2], order[len(order) // 2 :]
        calibration, _ = evaluate(known[fit], labels[fit], seed)
        truth = labels[judge].numpy()
        plain, honest = (soft(known[judge], t) for t in (1.0, calibration.temperature))
        temperatures.append(calibration.temperature)
        before.append(expected_calibration_error(plain, truth))
        after.append(expected_calibration_error(honest, truth))
        decision = decide(calibration, Path("half"), coverage=args.coverage)
        sets = [decision.class_set(row) or [] for row in honest.tolist()]
        true_chances = honest[np.arange(len(truth)), truth]
        held.append(float((true_chances >= decision.least_probability).mean()))
        shown_held.append(np.mean([y in inside for y, inside in zip(truth, sets, strict=True)]))
        size.append(np.mean([len(inside) for inside in sets]))
        chosen = threshold_for(calibration, args.max_error)
        if chosen is not None:
            taken = np.array([chosen.accepts(value) for value in honest.max(axis=1)])
            accepted.append(taken.mean())
            wrong.append((honest.argmax(axis=1) != truth)[taken].mean())
        stranger = (soft(unknown, t) for t in (1.0, calibration.temperature))
        areas.append(tuple(map(area, (plain, honest), stranger)))
    _, every = evaluate(known, labels, seed=0)
    folded = [every[when]["expected_calibration_error"] for when in ("before", "after")]
    right = float((known.argmax(dim=1) == labels).double().mean())
    print(
        f"{len(labels):,} pictures of known classes ({right:.1%} right), {len(unknown):,} of "
        f"{args.leave_out}; {args.repeats} rounds"
    )
    print(f"temperature            {spread(temperatures)}")
    print(f"calibration error      {spread(before)} -> {spread(after)}")
    print(f"  all, out of fold     {folded[0]:.4f} -> {folded[1]:.4f}")
    print(f"sets, {args.coverage:.0%} wanted       {spread(held)} hold the true class")
    print(f"  top class added      {spread(shown_held)}, {np.mean(size):.2f} classes on average")
    print(f"mistakes, {args.max_error:.0%} wanted   {describe_rejects(accepted, wrong, args)}")
    print(f"AUROC, plain           {spread([a for a, _ in areas])}")
    print(f"AUROC, calibrated      {spread([b for _, b in areas])}")
    figures = {
        "accuracy": right,
        "ece_before": float(np.mean(before)),
        "ece_after": float(np.mean(after)),
        "coverage": float(np.mean(held)),
        "auroc": float(np.mean([b for _, b in areas])),
    }
    print(json.dumps(figures))


def soft(logits: Tensor, temperature: float) -> np.ndarray:
    return torch.softmax(logits.double() / temperature, dim=1).numpy()


def area(known: np.ndarray, unknown: np.ndarray) -> float:
    """Chance that a picture of a known class has more confidence than one of the unknown class."""
    scores = np.concatenate([known.max(axis=1), unknown.max(axis=1)])
    return float(roc_auc_score([1] * len(known) + [0] * len(unknown), scores))


def threshold_for(calibration: Calibration, max_error: float) -> Decision | None:
    """The decision, or None where the half that calibrates cannot promise it."""
    try:
        return decide(calibration, Path("half"), max_error=max_error)
    except ConfigError:
        return None


def describe_rejects(accepted: list, wrong: list, args: argparse.Namespace) -> str:
    if not accepted:
        return "cannot be promised with so many pictures"
    above = np.mean([share > args.max_error for share in wrong])
    return (
        f"{spread(wrong)} of the accepted, which are {spread(accepted)} of all; above it in "
        f"{above:.0%} of {len(wrong)} rounds in which it could be promised"
    )


def spread(values: list) -> str:
    return f"{np.mean(values):.4f} ± {np.std(values):.4f}"


if __name__ == "__main__":
    main()
