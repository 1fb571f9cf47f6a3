"""How well the optimism of the best epoch is estimated, on simulated trainings.

    python scripts/simulate_optimism.py docs/image/optimism.png

A training is E epochs on N pictures. Whether an epoch has a picture right depends on how hard the
picture is and on noise that changes slowly from epoch to epoch. The truth is known: the accuracy
of the epoch on endlessly many pictures. Draws the mean error of the best epoch's accuracy as it is,
and as `pochitrain.metric.selection` corrects it, and prints both with their standard errors.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from pochitrain.metric.selection import estimate_optimism
from pochitrain.metric.table import METRICS

EPOCHS = (2, 5, 10, 20, 50)
PICTURES = (100, 300, 1000)
HARDNESS = 0.8
"""Share of the variance that belongs to the picture: the same in every epoch, and everywhere."""
SLOWNESS = 0.8
"""Correlation of the rest from one epoch to the next."""


def equal(num_epochs: int, _: np.random.Generator) -> NDArray[np.float64]:
    """All epochs are equally good."""
    return np.full(num_epochs, 0.85)


def rising(num_epochs: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Rising, late epochs differ by 1 %."""
    curve = 0.88 - 0.5 * np.exp(-np.arange(num_epochs) / max(1.0, num_epochs / 6))
    return np.clip(curve + generator.normal(0, 0.01, num_epochs), 0.05, 0.99)


def simulate(
    accuracies_E: NDArray[np.float64], num_pictures: int, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """Which pictures each epoch has right, shape (E, N)."""
    picture = generator.standard_normal(num_pictures)
    noise = generator.standard_normal((len(accuracies_E), num_pictures))
    for epoch in range(1, len(noise)):
        noise[epoch] = SLOWNESS * noise[epoch - 1] + np.sqrt(1 - SLOWNESS**2) * noise[epoch]
    latent = np.sqrt(HARDNESS) * picture + np.sqrt(1 - HARDNESS) * noise
    right: NDArray[np.bool_] = latent < norm.ppf(accuracies_E)[:, None]
    return right


def errors(
    curve: Callable[..., NDArray[np.float64]],
    num_epochs: int,
    num_pictures: int,
    repeats: int,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Value less truth of the best epoch, in percent.

    Returns:
        As it is, and corrected: shape (repeats, 2).
    """
    generator = np.random.default_rng([seed, num_epochs, num_pictures])
    rows = []
    labels = np.ones(num_pictures, np.int64)
    for _ in range(repeats):
        accuracies = curve(num_epochs, generator)
        right = simulate(accuracies, num_pictures, generator)
        values = 100 * right.mean(axis=1)
        best = values.argmax()
        found = estimate_optimism(labels, right.astype(np.int64), METRICS["val_accuracy"], 2)
        assert found is not None
        naive = values[best] - 100 * accuracies[best]
        rows.append((naive, naive - found.amount))
    return np.array(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--repeats", type=int, default=200)
    arguments = parser.parse_args()
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for axis, curve in zip(axes, (equal, rising), strict=True):
        for colour, num_pictures in zip(("C3", "C1", "C0"), PICTURES, strict=True):
            cells = [errors(curve, e, num_pictures, arguments.repeats) for e in EPOCHS]
            means = np.array([cell.mean(axis=0) for cell in cells])
            spread = np.array([cell.std(axis=0) for cell in cells]) / arguments.repeats**0.5
            for e, mean, error in zip(EPOCHS, means, spread, strict=True):
                shown = ", ".join(f"{m:+.2f} ± {s:.2f}" for m, s in zip(mean, error, strict=True))
                print(
                    f"{curve.__name__:<7} N={num_pictures:<5} E={e:<3} as it is, corrected: {shown}"
                )
            for column, style, name in ((0, "--", "as it is"), (1, "-", "corrected")):
                label = f"{num_pictures:,} pictures, {name}"
                axis.errorbar(
                    EPOCHS, means[:, column], 2 * spread[:, column], color=colour, ls=style,
                    marker="o", ms=4, capsize=2, label=label,
                )  # fmt: skip
        axis.axhline(0, color="0.6", lw=1, zorder=0)
        axis.set(xscale="log", xlabel="epochs to choose from", title=curve.__doc__.strip("."))
        axis.set_xticks(EPOCHS, [str(e) for e in EPOCHS])
        axis.minorticks_off()
    axes[0].set_ylabel("too good by (% points)")
    axes[0].legend(fontsize=8)
    figure.savefig(arguments.output, dpi=80)


if __name__ == "__main__":
    main()
