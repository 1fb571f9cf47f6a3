"""`pochi calibrate`: from the predictions for the validation images to a calibrated checkpoint."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pochitrain.atomic import write_with
from pochitrain.console import PrintableConsole, open_console
from pochitrain.engine.checkpoint import load_checkpoint
from pochitrain.error import ConfigError
from pochitrain.inference.calibration import MIN_IMAGES, Calibration, describe_mistakes
from pochitrain.inference.classifier import find_model, load_classifier
from pochitrain.inference.decision import choose_threshold
from pochitrain.inference.network import TorchNetwork
from pochitrain.inference.reliability import measure
from pochitrain.inference.source import Source, open_source
from pochitrain.inference.stream import classify
from pochitrain.inference.table import save_json
from pochitrain.inference.temperature import fit_temperature, out_of_fold
from pochitrain.manner import print_json
from pochitrain.run.output_folder import run_folder
from pochitrain.run.status import FILE, try_lock

REPORT, GRAPH = "calibration.json", "calibration.png"
SHOWN = (0.01, 0.02, 0.05, 0.1)
"""Rates of mistakes for which the summary says how many pictures would be accepted."""


@dataclass
class CalibrateSettings:
    """The settings of the command line."""

    model: str
    data: str | None = None
    root: str | None = None
    device: str | None = None
    batch_size: int | None = None
    num_workers: int | None = None
    allow: Sequence[str] = ()


def calibrate(settings: CalibrateSettings) -> Path:
    """Calibrate a checkpoint. The file is replaced by one that also holds its calibration.

    Returns:
        The checkpoint.

    Raises:
        ConfigError: for a model or data that cannot be used, or a run that is being trained.
        PochiError: if the model returns numbers that are not finite.
    """
    file = find_model(Path(settings.model))
    if file.suffix.lower() == ".onnx":
        raise ConfigError(
            f"RUN must be a run directory or checkpoint, got {settings.model!r}. Calibrate that, "
            "and export it again."
        )
    console = open_console()
    with hold_still(file):
        classifier = load_classifier(file, settings.device, settings.allow)
        assert isinstance(classifier.network, TorchNetwork)
        folder = run_folder(classifier)
        require_writable({folder, file.parent})
        source = open_source(classifier, settings.data, settings.root)
        require_classes(source, settings.data)
        require_number(len(source.dataset), source)
        batch_size = settings.batch_size or int(classifier.config["batch_size"])
        answers = classify(classifier, source.dataset, batch_size, settings.num_workers)
        require_number(len(answers.indices), source)
        labels = torch.tensor([int(source.dataset.labels[i]) for i in answers.indices.tolist()])
        seed = int(classifier.config.get("seed", 0)) % 2**63
        found, report = evaluate(answers.logits, labels, seed)
        content = load_checkpoint(file) | {"calibration": found.content()}
        write_with(file, lambda target: torch.save(content, target))
    origin = {"model": str(file), "data": source.origin, "unreadable": len(answers.unreadable)}
    save_json(folder / REPORT, origin | report)
    draw(report, folder / GRAPH)
    written = [str(path) for path in (file, folder / REPORT, folder / GRAPH)]
    print_json(origin | report | {"files": written, "warnings": list(source.warnings)})
    print_result(console, found, origin, report)
    console.written(folder, [f"{file.name} (now calibrated)", REPORT, GRAPH])
    return file


@contextmanager
def hold_still(file: Path) -> Iterator[None]:
    """In the block, no training replaces the checkpoint.

    Raises:
        ConfigError: if its run is being trained.
    """
    run = file.parent.parent
    if file.parent.name != "models" or not (run / FILE).is_file():
        yield
        return
    handle = try_lock(run)
    if handle is None:
        raise ConfigError(
            f"RUN must be a run that is not being trained, got {str(run)!r}, which another process "
            "is training. Wait for its end."
        )
    try:
        yield
    finally:
        os.close(handle)


def require_writable(folders: Iterable[Path]) -> None:
    """Refuse folders that cannot be written to, before the work starts.

    Raises:
        ConfigError: for such a folder.
    """
    for folder in folders:
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigError(
                f"RUN must be in a folder that can be written to, got {str(folder)!r}. Copy the "
                "run to another place, and calibrate it there."
            )


def require_classes(source: Source, data: str | None) -> None:
    """Refuse images without true classes.

    Raises:
        ConfigError: for such images.
    """
    if not source.labelled:
        raise ConfigError(
            f"--data must hold a folder of pictures for each class, or list classes, got {data!r} "
            "without any."
        )


def require_number(num_images: int, source: Source) -> None:
    """Refuse too few images.

    Raises:
        ConfigError: for fewer than MIN_IMAGES.
    """
    if num_images < MIN_IMAGES:
        raise ConfigError(
            f"The pictures must be {MIN_IMAGES} or more to calibrate a model, got {num_images} "
            f"that can be read ({source.origin}). Give more with --data DIR."
        )


def evaluate(
    logits_NC: torch.Tensor, labels_N: torch.Tensor, seed: int
) -> tuple[Calibration, dict[str, Any]]:
    """The calibration of a model with these logits, and the content of calibration.json.

    The temperature is fitted on all images. Everything that is said about it comes from
    temperatures that were fitted without the image in question.

    Raises:
        PochiError: if a logit is not finite.
    """
    honest, temperatures = out_of_fold(logits_NC, labels_N, seed)
    temperature = fit_temperature(logits_NC, labels_N)
    labels = labels_N.numpy().astype(np.int64)
    found = describe_mistakes(temperature, honest.numpy(), labels)
    plain = torch.softmax(logits_NC.double(), dim=1)
    report = {
        **found.content(),
        "temperature_of_folds": temperatures,
        "seed": seed,
        "before": measure(plain.numpy(), labels),
        "after": measure(honest.numpy(), labels),
    }
    return found, report


def draw(report: dict[str, Any], path: Path) -> None:
    from pochitrain.report.reliability import draw_reliability  # loads matplotlib

    draw_reliability(report["before"], report["after"], path)


def print_result(
    console: PrintableConsole, found: Calibration, origin: dict[str, Any], report: dict[str, Any]
) -> None:
    """Print the temperature, what it changes, and what could be promised with it."""

    def print_plain(text: str) -> None:
        console.result(text, markup=False)

    print_plain(f"model        {origin['model']}")
    print_plain(f"data         {origin['data']}: {found.images:,} pictures")
    if origin["unreadable"]:
        print_plain(f"unreadable   {origin['unreadable']:,} pictures are left out")
    print_plain(f"temperature  {found.temperature:.4f}")
    before, after = report["before"], report["after"]
    for name, key in (
        ("calibration error", "expected_calibration_error"),
        ("log loss", "log_loss"),
    ):
        print_plain(f"{name:<18} {before[key]:.4f} -> {after[key]:.4f} (on pictures left out)")
    for max_error in SHOWN:
        print_plain(f"--max-error {max_error:<4.0%} {describe_promise(found, max_error)}")


def describe_promise(found: Calibration, max_error: float) -> str:
    """How many pictures would be accepted, or why this cannot be promised."""
    try:
        threshold = choose_threshold(found, max_error)
    except ConfigError:
        return "cannot be promised with these pictures"
    accepted = next(num for known, num, _ in found.reject if known == threshold)
    return f"accepts {accepted / found.images:.0%} (confidence >= {threshold:.4f})"
