"""An export, from a run directory to an ONNX file whose predictions are compared."""

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
from omegaconf import OmegaConf
from torch import nn

from pochitrain.console import open_console
from pochitrain.error import ConfigError, PochiError
from pochitrain.export.onnx_file import INPUT, OUTPUT, require_packages, write_onnx
from pochitrain.export.parity import Parity, compare
from pochitrain.inference.classifier import METADATA_KEY, Classifier, load_classifier
from pochitrain.inference.network import TorchNetwork
from pochitrain.inference.source import open_source
from pochitrain.inference.stream import Decoded, classify
from pochitrain.inference.table import save_json
from pochitrain.manner import print_json
from pochitrain.run.directory import collect_versions

NEEDED = ("batch_size", "seed", "mean", "std", "precision", "data", "model", "confusion_matrix")
"""Keys of the config that inference reads."""


@dataclass
class ExportSettings:
    """The settings of the command line."""

    model: str
    data: str | None = None
    output: str | None = None
    format: str = "onnx"
    opset: int | None = None
    dynamic_batch: bool = False
    num_workers: int | None = None
    allow: Sequence[str] = ()


def export(settings: ExportSettings) -> Path:
    """Write the model and parity.json; the model only if its predictions agree.

    Both models predict from the image files. The exported one is loaded from nothing but its file.

    Raises:
        ConfigError: for a model or data that cannot be used.
        PochiError: if the predictions differ.
    """
    console = open_console()
    require_packages()
    classifier = load_classifier(settings.model, "cpu", settings.allow, precision="fp32")
    if not isinstance(classifier.network, TorchNetwork):
        raise ConfigError(f"RUN must be a run directory or checkpoint, got {settings.model!r}.")
    source = open_source(classifier, settings.data)
    target = output_file(settings, classifier)
    example = first_image(classifier, source.dataset)
    unproven = target.with_name(f".{target.name}.tmp")
    try:
        opset = write_onnx(
            with_temperature(classifier.network.model, classifier.temperature),
            example,
            unproven,
            describe_model(classifier, example),
            opset=settings.opset,
            dynamic_batch=settings.dynamic_batch,
        )
        exported = load_onnx_file(unproven, settings.allow)
        parity = prove(classifier, exported, source.dataset, settings.num_workers)
        metadata = {"model": str(classifier.source), "data": source.origin, "opset": opset}
        proof = {**metadata, **parity.summary(), "versions": versions()}
        save_json(target.with_name("parity.json"), proof)
        if not parity.proven:
            refuse(parity, target)
        os.replace(unproven, target)
    finally:
        unproven.unlink(missing_ok=True)
    shape = ", ".join(map(str, ("batch" if settings.dynamic_batch else 1, *example.shape[1:])))
    files = [str(target), str(target.with_name("parity.json"))]
    print_json(proof | {"files": files, "warnings": list(source.warnings)})
    console.result(
        f"parity    {parity.images:,} pictures: {parity.top1_agreement:.2f} % same class,"
    )
    console.result(
        f"          logits differ by at most {parity.max_abs_logit_difference:.2g}, confidence by "
        f"{parity.max_abs_confidence_difference:.2g}"
    )
    if classifier.calibration is not None:
        console.result(f"calibrated  by temperature {classifier.temperature:.4g}, in the graph")
    console.result(f"input     {INPUT}: float32 ({shape}); opset {opset}", markup=False)
    console.written(target.parent, [target.name, "parity.json"])
    return target


def output_file(settings: ExportSettings, classifier: Classifier) -> Path:
    """`--output`, or model.onnx in the run directory.

    Raises:
        ConfigError: if it cannot be written there.
    """
    home = classifier.source.parent
    default = (home.parent if home.name == "models" else home) / "model.onnx"
    target = default if settings.output is None else Path(settings.output)
    if target.suffix.lower() != ".onnx":
        target = target / "model.onnx"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise IsADirectoryError(None, "Is a directory")
        with tempfile.TemporaryFile(dir=target.parent):
            return target
    except OSError as error:
        raise ConfigError(
            f"--output must be a file in a folder that can be written to, got {str(target)!r} "
            f"({error.strerror}). Choose another with --output FILE."
        ) from error


def first_image(classifier: Classifier, dataset: Any) -> torch.Tensor:
    """The first readable image, transformed: float32, shape (1, 3, H, W).

    Raises:
        PochiError: if none can be read.
    """
    decoded = Decoded(dataset, classifier, classifier.plan_budget(1))
    for index in range(len(decoded)):
        _, image, _ = decoded[index]
        if image is not None:
            return image[None].float()
    raise PochiError(f"None of the {len(dataset)} pictures can be read.")


class Tempered(nn.Module):
    """A model whose logits are divided by a temperature."""

    def __init__(self, model: nn.Module, temperature: float) -> None:
        super().__init__()
        self.model = model
        self.temperature = temperature

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(images)
        return logits / self.temperature


def with_temperature(model: nn.Module, temperature: float) -> nn.Module:
    """The model to export. With the temperature in its graph, any program gets what we get."""
    return model if temperature == 1 else Tempered(model, temperature)


def describe_model(classifier: Classifier, example: torch.Tensor) -> dict[str, str]:
    """Metadata of the file: an entry for `pochi infer`, and simple ones for other programs."""
    transforms, known = classifier.transforms, classifier.calibration
    calibrated = {} if known is None else {"calibration": known.content()}
    config = {key: classifier.config[key] for key in NEEDED if key in classifier.config}
    metadata = {
        "format": 1,
        "class_names": classifier.class_names,
        "transforms": {"val": transforms},
        "data": classifier.fingerprint,
        "config": OmegaConf.to_container(OmegaConf.create(config)),
        **calibrated,
    }
    meaning = "logits; softmax gives probabilities"
    if known is not None:
        meaning = "logits, divided by the temperature; softmax gives calibrated probabilities"
    described = {
        METADATA_KEY: metadata,
        "class_names": classifier.class_names,
        "input": {
            "name": INPUT,
            "layout": "NCHW",
            "color": "RGB",
            "height_px": example.shape[2],
            "width_px": example.shape[3],
            "range_before_normalisation": [0, 1],
            **normalisation(transforms),
        },
        "output": {"name": OUTPUT, "meaning": meaning},
        **calibrated,
    }
    return {key: json.dumps(value, ensure_ascii=False) for key, value in described.items()}


def normalisation(transforms: Sequence[Any]) -> dict[str, Any]:
    """mean and std of the last Normalize step, if there is one."""
    for node in reversed(transforms):
        if str(node.get("_target_", "")).endswith(".Normalize"):
            return {"mean": node["mean"], "std": node["std"]}
    return {}


def load_onnx_file(path: Path, allow: Sequence[str]) -> Classifier:
    from pochitrain.inference.classifier import load_onnx

    return load_onnx(path, allow)


def prove(
    classifier: Classifier, exported: Classifier, dataset: Any, num_workers: int | None
) -> Parity:
    """Compare the predictions of both models for all images."""
    batch_size = int(classifier.config["batch_size"])
    original = classify(classifier, dataset, batch_size, num_workers)
    answer = classify(exported, dataset, batch_size, num_workers)
    expected = original.logits / classifier.temperature  # as in the graph of the exported model
    return compare(expected.numpy(), answer.logits.numpy())


def refuse(parity: Parity, target: Path) -> NoReturn:
    """Raise the error for differing predictions.

    An earlier export at `target` is renamed, since parity.json no longer describes it.
    """
    earlier = ""
    if target.exists():
        kept = target.with_stem(f"{target.stem}.previous")
        os.replace(target, kept)
        earlier = f" An earlier export was renamed to {kept.name}."
    raise PochiError(
        f"The exported model does not predict as the original does: {parity.top1_agreement:.2f}"
        f" % of {parity.images:,} pictures get the same class and "
        f"{parity.confidence_agreement:.2f} % the same confidence (at least "
        f"{parity.min_agreement} % must), logits differ by up to "
        f"{parity.max_abs_logit_difference:.3g}. {target} is not written; see parity.json "
        f"beside it.{earlier}"
    )


def versions() -> dict[str, str]:
    """Package -> version, including those of ONNX."""
    from importlib import metadata

    found = collect_versions()
    return found | {name: metadata.version(name) for name in ("onnx", "onnxruntime", "onnxscript")}
